#!/usr/bin/env bats
# Bad input and sudden deaths: a clear line, the right status, nothing left, nothing lost.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }
teardown() { remove_all; }

# one_line STATUS WORDS…: the last run failed with this status and one line that names each word.
one_line() {
  local expected=$1 word
  shift
  [ "$status" -eq "$expected" ]
  [ "${#lines[@]}" -eq 1 ]
  [[ "$output" == bulkhead:* ]]
  for word in "$@"; do
    [[ "$output" == *"$word"* ]]
  done
}

nothing_left() {
  [ -z "$(bulkhead list -aq)" ]
  [ -z "$(find_leftovers)" ]
}

shim_of() { field "$1" .state.shim_pid; }
vm_of() { field "$1" .state.vm_pid; }

no_tap() { [ -z "$(ip -o link show type tun)" ]; }

@test "an image that is not there and cannot be pulled" {
  run bulkhead run --rm --pull never localhost/no-such:image true
  one_line 125 localhost/no-such:image
  nothing_left
}

@test "a name that is no image reference" {
  run bulkhead run --rm 'UPPER CASE!' true
  one_line 125
  nothing_left
}

@test "an image for another architecture" {
  "$BATS_TEST_DIRNAME/lib/make-image.py" foreign "$WORK/foreign.tar"
  run bulkhead image load -i "$WORK/foreign.tar"
  [ "$status" -ne 0 ]
  [[ "$output" == *s390x* ]]
  [[ "$output" == *amd64* ]]
}

@test "a wrong digest" {
  "$BATS_TEST_DIRNAME/lib/make-image.py" wrong-digest "$WORK/wrong.tar"
  run bulkhead image load -i "$WORK/wrong.tar"
  [ "$status" -ne 0 ]
  [[ "$output" == *sha256:*damaged* ]]
  [[ "$(bulkhead image list)" != *wrong* ]]
}

@test "a truncated layer" {
  "$BATS_TEST_DIRNAME/lib/make-image.py" truncated "$WORK/truncated.tar"
  run bulkhead image load -i "$WORK/truncated.tar"
  [ "$status" -ne 0 ]
  [[ "$output" == *sha256:* ]]
  [[ "$(bulkhead image list)" != *truncated* ]]
}

@test "hostile layers stay inside the image" {
  "$BATS_TEST_DIRNAME/lib/make-image.py" hostile "$WORK/hostile.tar"
  echo untouched >"$WORK/probe"
  run bulkhead image load -i "$WORK/hostile.tar"
  if [ "$status" -eq 0 ]; then
    run bulkhead run --rm localhost/hostile:latest /bin/busybox cat /inside
    [ "$output" = inside ]
  else
    [[ "${lines[-1]}" == bulkhead:*bulkhead-escape* ]]
  fi
  [ "$(cat "$WORK/probe")" = untouched ]
  [ ! -e /tmp/bulkhead-escape ]
  [ ! -e "$WORK/bulkhead-escape" ]
}

@test "no QEMU" {
  # A mount namespace in which QEMU is nothing that can be executed, and PATH has no other.
  # shellcheck disable=SC2016
  run unshare --mount -- bash -c 'mount --bind /dev/null /usr/bin/qemu-system-x86_64 && exec bulkhead run --rm "$BUSYBOX" true'
  one_line 125 qemu
  nothing_left
}

@test "a host without memory" {
  run bulkhead run --rm -m 4096g "$BUSYBOX" true
  one_line 125 memory
  nothing_left
}

@test "no permission" {
  run setpriv --reuid 65534 --clear-groups "$build_dir/bin/bulkhead" run --rm "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [[ "$output" == *bulkhead:* ]]
}

@test "a full disk, while loading" {
  mkdir -p "$WORK/small"
  mount -t tmpfs -o size=1m bulkhead-test "$WORK/small"
  run env BULKHEAD_STATE_DIR="$WORK/small/state" bulkhead image import "$WORK/busybox.tar" localhost/x
  left=$(find "$WORK/small" -type f -size +100k)
  umount "$WORK/small"
  one_line 1 "No space left"
  [ -z "$left" ]
}

@test "a full disk, while running" {
  mkdir -p "$WORK/small"
  mount -t tmpfs -o size=24m bulkhead-test "$WORK/small"
  (
    export BULKHEAD_STATE_DIR=$WORK/small/state
    bulkhead image import "$WORK/busybox.tar" localhost/x
    timeout 120 bulkhead run --rm localhost/x \
      sh -c 'dd if=/dev/zero of=/big bs=1M count=60 conv=fsync 2>/dev/null; echo status=$?; echo alive >/dev/shm/x; cat /dev/shm/x'
    bulkhead list -aq
  ) >"$WORK/out" 2>&1
  # The shim of what ran in it has its last steps to do.
  wait_until 5 umount "$WORK/small"
  cat "$WORK/out"
  grep -q '^status=[1-9]' "$WORK/out"
  [ "$(tail -n 1 "$WORK/out")" = alive ]
}

@test "a container cannot crash its machine by the magic key" {
  run timeout 60 bulkhead run --rm "$BUSYBOX" sh -c 'echo c >/proc/sysrq-trigger; echo alive'
  [[ "$output" == *alive* ]]
}

@test "a guest kernel that panics" {
  mkdir -p "$WORK/share"
  cp "$build_dir/share/bulkhead/vmlinux" "$WORK/share/"
  printf 'not an initramfs' >"$WORK/share/initramfs.cpio"
  run env BULKHEAD_SHARE_DIR="$WORK/share" timeout 60 bulkhead run --rm "$BUSYBOX" true
  one_line 125 panic
  nothing_left
}

@test "kill -9 of the command line: the container goes on, and can be removed" {
  setsid bulkhead run --name box "$BUSYBOX" sleep 1000 >/dev/null 2>&1 3>&- &
  wait_until 30 bash -c '[ "$(bulkhead inspect box 2>/dev/null | jq -r ".[0].state.status")" = running ]'
  kill -KILL "$(pgrep -f 'bulkhead run --name box')"
  [ "$(field box .state.status)" = running ]
  bulkhead rm -f box
  nothing_left
}

@test "kill -9 of the command line, with --rm: the container is removed when it ends" {
  setsid bulkhead run --rm --name box "$BUSYBOX" sleep 3 >/dev/null 2>&1 3>&- &
  wait_until 30 bash -c '[ "$(bulkhead inspect box 2>/dev/null | jq -r ".[0].state.status")" = running ]'
  kill -KILL "$(pgrep -f 'bulkhead run --rm --name box')"
  wait_until 30 bash -c '[ -z "$(bulkhead list -aq)" ]'
  nothing_left
}

@test "kill -9 of the shim: the next list shows the truth, and everything is gone" {
  bulkhead run -d --name box "$BUSYBOX" sleep 1000
  vm=$(vm_of box)
  kill -KILL "$(shim_of box)"
  wait_until 10 bash -c "! kill -0 $vm 2>/dev/null"
  run bulkhead list -a
  [[ "${output,,}" == *"exited (137)"* ]]
  [ "$(field box .state.exit_code)" -eq 137 ]
  [[ "$(field box .state.error)" == *shim* ]]
  [ -z "$(ip -o link show type tun)" ]
  bulkhead start box
  [ "$(field box .state.status)" = running ]
  bulkhead rm -f box
  nothing_left
}

@test "kill -9 of QEMU: status 137 and the cause" {
  bulkhead run -d --name box "$BUSYBOX" sleep 1000
  kill -KILL "$(vm_of box)"
  [ "$(bulkhead wait box)" -eq 137 ]
  [[ "$(field box .state.error)" == *"signal 9"* ]]
  # The shim has it until its end.
  wait_until 5 no_tap
  bulkhead rm box
  nothing_left
}

@test "kill -9 of QEMU under a run in the foreground" {
  bulkhead run --rm --name box "$BUSYBOX" sleep 1000 2>"$WORK/err" 3>&- &
  pid=$!
  wait_until 30 bash -c '[ "$(bulkhead inspect box 2>/dev/null | jq -r ".[0].state.status")" = running ]'
  kill -KILL "$(vm_of box)"
  status=0
  wait $pid || status=$?
  [ "$status" -eq 137 ]
  nothing_left
}

# within SECONDS COMMAND…: it ends in that time, with the status that it has.
within() {
  local limit=$1 begin=$SECONDS status=0
  shift
  "$@" || status=$?
  [ $((SECONDS - begin)) -le "$limit" ] || return 99
  return $status
}

@test "a machine that was stopped and goes on: the container survives" {
  bulkhead run -d --name box "$BUSYBOX" sleep 1000
  kill -STOP "$(vm_of box)"
  sleep 3
  run timeout 1 bulkhead exec box echo alive
  [ "$status" -eq 124 ]
  kill -CONT "$(vm_of box)"
  [ "$(bulkhead exec box echo alive)" = alive ]
  [ "$(field box .state.status)" = running ]
  bulkhead stop -t 1 box
  [ "$(field box .state.error)" = "" ]
}

@test "a machine that stands still is ended by kill, stop and rm in bounded time" {
  bulkhead run -d --name killed "$BUSYBOX" sleep 1000
  bulkhead run -d --name stopped "$BUSYBOX" sleep 1000
  bulkhead run -d --name removed "$BUSYBOX" sleep 1000
  bulkhead run -d --name sharing -v "$WORK:/work" "$BUSYBOX" sleep 1000
  for name in killed stopped removed sharing; do
    kill -STOP "$(vm_of $name)"
  done
  within 20 bulkhead kill killed
  within 5 bulkhead wait killed
  [ "$(field killed .state.exit_code)" -eq 137 ]
  [[ "$(field killed .state.error)" == *"does not obey"* ]]
  within 15 bulkhead stop -t 2 stopped
  [ "$(field stopped .state.status)" = stopped ]
  [ "$(field stopped .state.exit_code)" -eq 137 ]
  within 4 bulkhead rm -f removed
  within 9 bulkhead rm -f sharing
  bulkhead rm killed stopped
  wait_until 5 no_tap
  nothing_left
}

@test "kill -9 at every tenth of a second of a start leaves nothing" {
  for delay in 0.02 0.1 0.2 0.3 0.4 0.5 0.6 0.7; do
    setsid bulkhead run --rm --name "at-$delay" "$BUSYBOX" sleep 1000 >/dev/null 2>&1 3>&- &
    client=$!
    sleep $delay
    pkill -KILL -f "containerd-shim-bulkhead-v2.*$BULKHEAD_STATE_DIR" || true
    pkill -KILL -f "bulkhead run --rm --name at-$delay" || true
    wait $client 2>/dev/null || true
  done
  wait_until 15 bash -c 'bulkhead list -a >/dev/null; bulkhead list -aq | xargs -r bulkhead rm -f >/dev/null; [ -z "$(ip -o link show type tun)" ]'
  nothing_left
}
