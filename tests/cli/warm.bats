#!/usr/bin/env bats
# Containers that start from a template: distinct from each other, the template untouched, and every
# template that cannot be used costs time only.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }

setup() {
  remove_all
  wait_until 20 no_maker_works
  bulkhead system warm >/dev/null
  TEMPLATE=$(bulkhead system template list --format json | jq -r '.[0].id')
  DIRECTORY=$BULKHEAD_STATE_DIR/templates/$TEMPLATE
}

teardown() { umount -q "$BULKHEAD_STATE_DIR/templates" || true; }

# after_a_reboot: nothing is known of templates but what is on disk.
after_a_reboot() { rm -f "$BULKHEAD_RUN_DIR"/templates/????????????????; }

# starts_warm, starts_cold [OPTION…]: a container runs, and was started so.
starts_warm() { starts true "$@"; }
starts_cold() { starts false "$@"; }

starts() {
  local expected=$1
  shift
  bulkhead run --name one "$@" "$BUSYBOX" echo hello >"$WORK/out"
  [ "$(cat "$WORK/out")" = hello ]
  [ "$(field one .state.warm)" = "$expected" ]
  bulkhead rm one
}


no_maker_works() { [ -z "$(template_makers)" ]; }

@test "the first container of a size leaves a template, the next one starts from it" {
  bulkhead system template rm --all
  starts_cold -m 256m -c 1
  wait_until 20 no_maker_works
  starts_warm -m 256m -c 1
  bulkhead system template list --format json | jq -e '.[0] | .cpus == 1 and .memory == 268435456 and .network'
  bulkhead system template list | grep -q "268 MB"
  bulkhead system df --format json | jq -e '.[] | select(.type == "Templates") | .total == 1 and .size > 20000000'
}

@test "sizes that a template does not have are rounded up, and the container gets what it asked for" {
  bulkhead run --rm -m 200m -c 1 "$BUSYBOX" cat /sys/fs/cgroup/memory.max | grep -qx $((200 << 20))
  wait_until 20 no_maker_works
  bulkhead run --name one -m 200m -c 1 "$BUSYBOX" cat /sys/fs/cgroup/memory.max | grep -qx $((200 << 20))
  [ "$(field one .state.warm)" = true ]
}

@test "--cold boots, and leaves no template" {
  starts_cold --cold
  bulkhead system template rm --all
  starts_cold --cold
  no_maker_works
  [ -z "$(bulkhead system template list --format json | jq -r '.[]')" ]
}

@test "a template is made once, by whoever comes first" {
  bulkhead system template rm --all
  bulkhead system warm >"$WORK/a" &
  local first=$!
  bulkhead system warm >"$WORK/b"
  wait "$first"
  cmp "$WORK/a" "$WORK/b"
  [ "$(bulkhead system template list --format json | jq length)" = 1 ]
  starts_warm
}

@test "templates are listed and removed, and running containers do not mind" {
  bulkhead run -d --name one "$BUSYBOX" sleep 1000
  [ "$(field one .state.warm)" = true ]
  bulkhead system template rm "$TEMPLATE"
  [ ! -e "$DIRECTORY" ]
  # What it has not touched yet is still there to be read.
  bulkhead exec one sh -c 'ls -lR /sys /proc/sys >/dev/null; echo alive' | grep -qx alive
  run bulkhead system template rm "$TEMPLATE"
  [ "$status" -eq 1 ]
  [[ $output == *"$TEMPLATE: there is none"* ]]
  # With nothing named nothing is what was not meant.
  run bulkhead system template rm
  [ "$status" -eq 125 ]
  [[ $output == *"--all is required"*"bulkhead system template rm --help"* ]]
}

@test "clones differ in all that must differ" {
  what='cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid
        od -An -tx1 -N16 /dev/urandom; od -An -tx1 -N16 /dev/random; cat /etc/hostname; mktemp -u'
  for name in one two three; do
    bulkhead run --name $name "$BUSYBOX" sh -c "$what" >"$WORK/$name"
    [ "$(field $name .state.warm)" = true ]
    [ "$(wc -l <"$WORK/$name")" = 6 ]
  done
  # Six lines of each, and no line twice.
  [ "$(sort -u "$WORK/one" "$WORK/two" "$WORK/three" | wc -l)" = 18 ]
}

# at_random CONTAINER: what the kernel gave its first process to make canaries and cookies of. The
# auxiliary vector says where it is (entry 25), the process's memory what.
at_random() {
  # shellcheck disable=SC2016
  bulkhead exec "$1" sh -c '
    at=$(od -An -v -t u8 -w16 /proc/1/auxv | awk "\$1 == 25 {print \$2}")
    dd if=/proc/1/mem bs=1 skip="$at" count=16 2>/dev/null | od -An -v -t x1'
}

@test "programs of two clones have other random bytes from their kernel" {
  for name in one two; do
    bulkhead run -d --name $name "$BUSYBOX" sleep 1000
    [ "$(field $name .state.warm)" = true ]
    at_random $name >"$WORK/random.$name"
    [ "$(wc -w <"$WORK/random.$name")" -eq 16 ]
  done
  run cmp -s "$WORK/random.one" "$WORK/random.two"
  [ "$status" -eq 1 ]
  # And are the same when they are looked at twice: it was that.
  [ "$(at_random one)" = "$(cat "$WORK/random.one")" ]
}

@test "containers that run at once have addresses of their own, and reach each other" {
  for name in one two; do
    bulkhead run -d --name $name "$BUSYBOX" sleep 1000
    [ "$(field $name .state.warm)" = true ]
  done
  [ "$(field one .network.mac)" != "$(field two .network.mac)" ]
  for name in one two; do
    [ "$(bulkhead exec $name cat /sys/class/net/eth0/address)" = "$(field $name .network.mac)" ]
  done
  bulkhead exec one ping -c 1 -W 5 "$(field two .network.address)"
  bulkhead exec two ping -c 1 -W 5 "$(field one .network.address)"
}

@test "the clock is the host's, and time only goes on" {
  sleep 2
  guest=$(bulkhead run --rm "$BUSYBOX" date +%s)
  host=$(date +%s)
  [ $((host - guest)) -ge 0 ] && [ $((host - guest)) -le 3 ]
  bulkhead run --rm "$BUSYBOX" sh -c 'a=$(cut -d. -f1 /proc/uptime); sleep 1; b=$(cut -d. -f1 /proc/uptime); [ $((b - a)) -ge 1 ] && [ $((b - a)) -le 3 ]'
}

@test "a clone that gives memory back changes neither the template nor another clone" {
  before=$(sha256sum "$DIRECTORY/memory")
  bulkhead run -d --name other "$BUSYBOX" sh -c 'sleep 1000'
  bulkhead exec other sh -c 'find / -xdev -type f | head -300 | xargs md5sum | md5sum' >"$WORK/other"
  bulkhead run -d --name spiky "$BUSYBOX" sleep 1000
  pid=$(field spiky .state.vm_pid)
  pss() { awk '/^Pss:/ {print $2}' "/proc/$1/smaps_rollup"; }
  # What was not zero in the template: the guest's page cache and freed memory.
  bulkhead exec spiky sh -c 'echo 3 >/proc/sys/vm/drop_caches 2>/dev/null; dd if=/dev/zero of=/dev/shm/big bs=1M count=50; cat /dev/shm/big >/dev/null' 2>/dev/null
  bulkhead exec spiky sh -c 'dd if=/dev/zero of=/big bs=1M count=400 2>/dev/null; sync'
  peak=$(pss "$pid")
  bulkhead exec spiky rm /big /dev/shm/big
  fallen() { [ "$(pss "$pid")" -lt $((peak - 100 * 1024)) ]; }
  wait_until 20 fallen
  [ "$(sha256sum "$DIRECTORY/memory")" = "$before" ]
  bulkhead exec other sh -c 'find / -xdev -type f | head -300 | xargs md5sum | md5sum' | cmp - "$WORK/other"
  bulkhead exec spiky echo alive | grep -qx alive
}

@test "a machine from a template ends in order" {
  bulkhead run --name one "$BUSYBOX" true
  [ "$(field one .state.warm)" = true ]
  ! cat "$BULKHEAD_STATE_DIR/containers/$(field one .id)/shim.log" 2>/dev/null | grep .
}

@test "a template that others may write is dropped" {
  chmod 0644 "$DIRECTORY/memory"
  starts_cold
  wait_until 20 no_maker_works
  starts_warm
}

@test "memory that was torn is found out after a reboot" {
  stamp=$(stat -c %.9Y "$DIRECTORY/memory")
  printf X | dd of="$DIRECTORY/memory" bs=1 seek=$((20 << 20)) conv=notrunc status=none
  touch -d "@$stamp" "$DIRECTORY/memory"
  after_a_reboot
  starts_cold
  wait_until 20 no_maker_works
  starts_warm
}

@test "a template that is whole is used after a reboot" {
  after_a_reboot
  starts_warm
}

# with_other_qemu COMMAND…: as after an upgrade, there is another program in QEMU's place.
with_other_qemu() {
  # shellcheck disable=SC2016
  unshare --mount -- sh -c 'mount --bind "$0" /usr/bin/qemu-system-x86_64 && exec "$@"' "$WORK/qemu" "$@"
}

count_templates() { bulkhead system template list --format json | jq length; }

@test "a template is for the QEMU that made it: another one boots and makes its own" {
  cp /usr/bin/qemu-system-x86_64 "$WORK/qemu"
  before=$(count_templates)
  with_other_qemu bulkhead run --name one "$BUSYBOX" true
  [ "$(field one .state.warm)" = false ]
  bulkhead rm one
  wait_until 20 no_maker_works
  [ "$(count_templates)" -eq $((before + 1)) ]
  with_other_qemu bulkhead run --name one "$BUSYBOX" true
  [ "$(field one .state.warm)" = true ]
  bulkhead rm one
  # The first one's is as good as it was.
  starts_warm
  rm "$WORK/qemu"
}

@test "a state that QEMU does not take costs time only" {
  head -c 100000 /dev/urandom >"$DIRECTORY/devices"
  # As if it had been made so: the record agrees with the file.
  "$project_dir/tests/cli/lib/forge-template" "$DIRECTORY"
  starts_cold
  wait_until 20 no_maker_works
  starts_warm
}

@test "a state that is cut costs time only" {
  truncate -s 20000 "$DIRECTORY/devices"
  "$project_dir/tests/cli/lib/forge-template" "$DIRECTORY"
  starts_cold
}

@test "a template directory that is full, read-only or gone: containers start" {
  bulkhead system template rm --all
  mount -t tmpfs -o size=1m tmpfs "$BULKHEAD_STATE_DIR/templates"
  starts_cold
  wait_until 20 no_maker_works
  [ -z "$(ls "$BULKHEAD_STATE_DIR/templates")" ]
  run bulkhead system warm
  [ "$status" -eq 1 ]
  [[ $output == *"no room for a template"* ]]
  mount -o remount,ro "$BULKHEAD_STATE_DIR/templates"
  starts_cold
  wait_until 20 no_maker_works
  umount "$BULKHEAD_STATE_DIR/templates"
  rmdir "$BULKHEAD_STATE_DIR/templates"
  starts_cold
  wait_until 20 no_maker_works
  starts_warm
}

@test "the budget of templates is a setting" {
  printf '[templates]\nbudget = 0\n' >"$WORK/config.toml"
  export BULKHEAD_CONFIG=$WORK/config.toml
  bulkhead system template rm --all
  run bulkhead system warm
  [ "$status" -eq 1 ]
  [[ $output == *"$WORK/config.toml: templates.budget is 0"* ]]
  starts_cold
  wait_until 20 no_maker_works
  [ "$(bulkhead system template list --format json | jq length)" = 0 ]
  printf '[templates]\nbudget = "1MiB"\n' >"$WORK/config.toml"
  bulkhead system warm
  [ "$(bulkhead system template list --format json | jq length)" = 0 ]  # it does not fit
  [ "$(bulkhead system info --format json | jq .settings.template_budget)" = 1048576 ]
  printf '[templates]\nbudget = "much"\n' >"$WORK/config.toml"
  run bulkhead system warm
  [ "$status" -eq 1 ]
  [[ $output == *"$WORK/config.toml: line 2: templates.budget"* ]]
  bulkhead system info | grep -q "line 2: templates.budget"
  unset BULKHEAD_CONFIG
  bulkhead system warm
}

@test "kill -9 of a maker leaves nothing that lasts" {
  bulkhead system template rm --all
  local killed=0
  for delay in 0.05 0.2 0.4 0.7; do
    bulkhead system warm >/dev/null 2>&1 &
    local maker=$!
    sleep $delay
    # A fast machine may have made it by then.
    if kill -9 $maker 2>/dev/null; then
      killed=$((killed + 1))
    fi
    wait $maker || true
    bulkhead system template rm --all
  done
  [ $killed -ge 2 ]
  starts_cold
  wait_until 20 no_maker_works
  starts_warm
  [ -z "$(find "$BULKHEAD_STATE_DIR/templates" -name '*.new')" ]
}

@test "kill -9 of QEMU or shim while a machine is restored: the container starts, or is gone" {
  for i in 1 2 3; do
    bulkhead run -d --name one "$BUSYBOX" sleep 1000 >/dev/null &
    local start=$!
    sleep 0.0$((i * 3))
    pkill -9 -f "^/qemu -name $(bulkhead list -aq --no-trunc | head -1)" || true
    wait $start || true
    wait_until 10 bulkhead rm -f one || true
  done
  starts_warm
}

@test "twenty at once start warm, and none fails" {
  for i in $(seq 20); do
    bulkhead run --name "many$i" -m 256m -c 1 "$BUSYBOX" echo "$i" >"$WORK/many.$i" &
  done
  wait
  for i in $(seq 20); do
    [ "$(cat "$WORK/many.$i")" = "$i" ]
  done
}
