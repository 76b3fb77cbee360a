#!/usr/bin/env bats
# Machines that stand by: a container that gets one is like any other, and whatever becomes of one
# costs time only.

bats_require_minimum_version 1.5.0
load lib/bulkhead

setup_file() {
  bulkhead_setup_file
  [ -z "${BULKHEAD_COLD:-}" ] || skip "machines do not stand by where all are booted"
  printf '[standby]\nmachines = 1\n' >"$WORK/config.toml"
  # A kernel and an initramfs of this file's own, to be changed.
  cp -r "$build_dir/share/bulkhead" "$WORK/share"
  export BULKHEAD_CONFIG=$WORK/config.toml BULKHEAD_SHARE_DIR=$WORK/share
}

teardown_file() {
  printf '[standby]\nmachines = 0\n' >"$WORK/config.toml"
  remove_all
  bulkhead system standby rm --all >/dev/null || true
  bulkhead_teardown_file
}

setup() {
  remove_all
  wait_until 40 stands_by
}

# The one that is being made may have none of the templates that the test before has removed.
stands_by() {
  one_is_ready || bulkhead system warm >/dev/null
  sleep 0.3
  one_is_ready
}

ready() { bulkhead system standby list --format json 2>/dev/null | jq -r '.[] | select(.status == "ready") | .id'; }
one_is_ready() { [ "$(ready | wc -l)" = 1 ]; }
none_is_left() { [ "$(bulkhead system standby list --format json)" = "[]" ]; }
another_is_ready() { one_is_ready && [ "$(ready)" != "$1" ]; }

# shim_of MACHINE, qemu_of MACHINE: process ids
shim_of() { pgrep -f -- "-id $1 .* stand-by"; }
qemu_of() { pgrep -f -- "-name $1"; }

@test "a container has the machine that waits, and the next machine takes its place" {
  local first
  first=$(ready)
  [ "$(bulkhead run -d --name one "$BUSYBOX" sleep 1000)" = "$first" ]
  [ "$(field one .state.standby)" = true ]
  [ "$(field one .state.warm)" = true ]
  wait_until 20 another_is_ready "$first"
  bulkhead run --name two "$BUSYBOX" true
  [ "$(field two .state.standby)" = true ]
  bulkhead exec one echo alive | grep -qx alive
  bulkhead stop -t 1 one
}

@test "it sees what it would see in a machine that was booted" {
  cat >"$WORK/look" <<'S'
find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o -print | sort
cat /proc/mounts
grep . /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max
cat /etc/hosts /etc/resolv.conf /etc/hostname | sed "s/$(hostname)/NAME/; s/^10\.[0-9.]*/ADDRESS/"
ls /sys/class/net; ip route | sed 's/src.*//'
id; pwd; env | sort | sed "s/$(hostname)/NAME/"; ls /proc/self/fd | wc -l; ulimit -a
cat /proc/self/status | grep -E '^(Cap|Seccomp|NoNewPrivs|Uid|Groups)'
S
  bulkhead run -i --name one -e A=b -w /tmp "$BUSYBOX" sh -s <"$WORK/look" >"$WORK/standing"
  [ "$(field one .state.standby)" = true ]
  bulkhead run -i --name two --cold -e A=b -w /tmp "$BUSYBOX" sh -s <"$WORK/look" >"$WORK/booted"
  # Which mount is made first differs between a machine that was prepared and one that was not.
  diff <(sort "$WORK/booted") <(sort "$WORK/standing")
  # What the rehearsal has used is not the container's.
  wait_until 20 one_is_ready
  bulkhead run --name three "$BUSYBOX" sh -c 'grep -E "^usage_usec" /sys/fs/cgroup/cpu.stat; cat /proc/1/comm; ls -d /rehearsal' >"$WORK/out" 2>&1 || true
  [ "$(field three .state.standby)" = true ]
  grep -q "No such file" "$WORK/out"
  [ "$(sed -n 's/^usage_usec //p' "$WORK/out")" -lt 2000000 ]
}

@test "streams, statuses, terminals and limits are as ever" {
  head -c 3000000 /dev/urandom >"$WORK/random"
  bulkhead run --rm -i "$BUSYBOX" sha256sum <"$WORK/random" | grep -q "$(sha256sum <"$WORK/random" | cut -d' ' -f1)"
  wait_until 20 one_is_ready
  run bulkhead run --rm "$BUSYBOX" sh -c 'exit 7'
  [ "$status" -eq 7 ]
  wait_until 20 one_is_ready
  run -127 bulkhead run --rm "$BUSYBOX" /no/such/program
  wait_until 20 one_is_ready
  # Less memory than the machine has is a limit.
  bulkhead run --name one -m 700m "$BUSYBOX" cat /sys/fs/cgroup/memory.max | grep -qx $((700 << 20))
  [ "$(field one .state.standby)" = true ]
  wait_until 20 one_is_ready
  # It starts again, and keeps what it wrote.
  bulkhead run --name two "$BUSYBOX" sh -c 'echo kept >>/file; cat /file'
  [ "$(field two .state.standby)" = true ]
  bulkhead start -a two | grep -c kept | grep -qx 2
  bulkhead logs two | tail -1 | grep -qx kept
}

@test "its address is its own, and reaches the other way, too" {
  bulkhead run -d --name one "$BUSYBOX" sh -c 'echo hello >/index.html; exec httpd -f -h /'
  [ "$(field one .state.standby)" = true ]
  local address
  address=$(field one .network.address)
  wait_until 10 curl -fsS "http://$address/index.html" -o "$WORK/page"
  grep -qx hello "$WORK/page"
  bulkhead exec one ip link show eth0 | grep -qi "$(field one .network.mac)"
  wait_until 20 one_is_ready
  bulkhead run --rm "$BUSYBOX" wget -qO- "http://$address/index.html" | grep -qx hello
}

@test "two that stood by have nothing in common" {
  local i
  for i in 1 2; do
    wait_until 20 one_is_ready
    bulkhead run --name "c$i" "$BUSYBOX" sh -c \
      'head -c 64 /dev/urandom | sha256sum; cat /proc/sys/kernel/random/uuid /sys/class/net/eth0/address; hostname; date +%s' >"$WORK/$i"
    [ "$(field "c$i" .state.standby)" = true ]
    # Clocks are the host's.
    local behind=$(($(date +%s) - $(tail -1 "$WORK/$i")))
    [ "$behind" -ge -1 ] && [ "$behind" -le 5 ]
  done
  [ -z "$(comm -12 <(head -4 "$WORK/1" | sort) <(head -4 "$WORK/2" | sort))" ]
}

@test "what no machine can stand by for leaves it alone; another size takes its place" {
  local first
  first=$(ready)
  bulkhead run --name one -v "$WORK:/host:ro" "$BUSYBOX" ls /host >/dev/null
  bulkhead run --name two --network none "$BUSYBOX" true
  [ "$(field one .state.standby)" = false ]
  [ "$(field two .state.standby)" = false ]
  bulkhead system warm -m 256m >/dev/null
  wait_until 20 another_is_ready "$first"
  bulkhead system standby list | grep -q 268
  bulkhead run --name three -m 256m "$BUSYBOX" true
  [ "$(field three .state.standby)" = true ]
}

@test "killed while it waits: the next container starts without it, and nothing is left" {
  local first
  first=$(ready)
  kill -9 "$(shim_of "$first")"
  bulkhead run --name one "$BUSYBOX" echo hello | grep -qx hello
  [ "$(field one .state.standby)" = false ]
  wait_until 20 another_is_ready "$first"
  [ ! -e "$BULKHEAD_RUN_DIR/containers/$first" ]
  first=$(ready)
  kill -9 "$(qemu_of "$first")"
  wait_until 10 none_is_left
  [ ! -e "$BULKHEAD_RUN_DIR/containers/$first" ]
  bulkhead run --name two "$BUSYBOX" echo hello | grep -qx hello
}

@test "killed while a container takes it: the container runs, or was killed with it" {
  local delay run shim status
  for delay in 0 0.002 0.004 0.006 0.01; do
    wait_until 40 stands_by
    shim=$(shim_of "$(ready)")
    bulkhead run --rm "$BUSYBOX" echo hello >"$WORK/out" 2>&1 &
    run=$!
    sleep "$delay"
    kill -9 "$shim"
    status=0
    wait "$run" || status=$?
    # Once it is the container's shim, its death is the container's: while it starts, or later.
    case $status in
      137) ;;
      125) grep -q "peer closed the connection\|Connection reset" "$WORK/out" ;;
      *) grep -qx hello "$WORK/out" ;;
    esac
  done
  wait_until 40 stands_by
  [ -z "$(ls "$BULKHEAD_RUN_DIR/standby/taken")" ]
  bulkhead network inspect bulkhead | jq -e '.[0].containers | length == 1'
}

@test "a machine that stands still is replaced by one that boots" {
  local first
  first=$(ready)
  kill -STOP "$(qemu_of "$first")"
  bulkhead run --name one "$BUSYBOX" echo hello | grep -qx hello
  [ "$(field one .state.standby)" = false ]
  [ -z "$(qemu_of "$first")" ]
}

@test "with another kernel the machine of the old one is not used" {
  local first
  first=$(ready)
  touch "$WORK/share/initramfs.cpio"
  bulkhead run --name one "$BUSYBOX" sh -c 'ip -4 addr show eth0; echo hello' | grep -qx hello
  [ "$(field one .id)" = "$first" ]
  [ "$(field one .state.standby)" = false ]
  [ "$(field one .state.warm)" = false ]
}

@test "a container that cannot be made gives up its machine" {
  bulkhead run --name one "$BUSYBOX" true
  wait_until 20 one_is_ready
  local first
  first=$(ready)
  run bulkhead run --name one "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [[ $output == *"in use"* ]]
  [ -z "$(ready)" ]
  bulkhead list -a --format json | jq -e length | grep -qx 1
  wait_until 40 test ! -e "$BULKHEAD_RUN_DIR/containers/$first"
}

@test "they are ended by hand, and by what is settled" {
  local first
  first=$(ready)
  bulkhead system standby rm "${first:0:10}" | grep -qx "${first:0:10}"
  none_is_left
  [ ! -e "$BULKHEAD_RUN_DIR/containers/$first" ]
  run bulkhead system standby rm "$first"
  [ "$status" -eq 1 ]
  [[ $output == *"none of that id stands by"* ]]
  run bulkhead system standby rm
  [ "$status" -eq 125 ]
  wait_until 40 stands_by
  # It does not keep a network that is to go.
  bulkhead network rm bulkhead
  none_is_left
  wait_until 40 stands_by
  printf '[standby]\nmachines = 0\n' >"$WORK/config.toml"
  bulkhead run --rm "$BUSYBOX" true
  printf '[standby]\nmachines = 1\n' >"$WORK/config.toml"
  none_is_left
}

@test "ten at once: one has it, all run" {
  local i pids=()
  for i in 1 2 3 4 5 6 7 8 9 10; do
    bulkhead run --name "c$i" "$BUSYBOX" echo "hello $i" >"$WORK/out$i" &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i"; done
  for i in 1 2 3 4 5 6 7 8 9 10; do grep -qx "hello $i" "$WORK/out$i"; done
  [ "$(bulkhead inspect c{1..10} | jq '[.[] | select(.state.standby)] | length')" = 1 ]
}
