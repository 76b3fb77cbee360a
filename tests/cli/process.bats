#!/usr/bin/env bats
# What a process in a container finds around it: privileges, mounts, terminals, signals, exec.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }
teardown() { remove_all; }

@test "the capability set is docker's default and privileges cannot be gained" {
  run bulkhead run --rm "$BUSYBOX" grep -E '^(Cap(Prm|Eff|Bnd)|NoNewPrivs)' /proc/self/status
  [[ "$output" == *"CapPrm:	00000000a80425fb"* ]]
  [[ "$output" == *"CapEff:	00000000a80425fb"* ]]
  [[ "$output" == *"CapBnd:	00000000a80425fb"* ]]
}

@test "a user that is not root has no effective capabilities" {
  run bulkhead run --rm -u 1000 "$BUSYBOX" grep CapEff /proc/self/status
  [[ "$output" == *"0000000000000000" ]]
}

@test "the default mounts are there, masked paths are masked, /proc/sys is read-only" {
  run bulkhead run --rm "$BUSYBOX" sh -c '
    mount | grep -q "on /proc type proc" && mount | grep -q "on /dev type tmpfs" &&
    mount | grep -q "on /dev/pts type devpts" && mount | grep -q "on /dev/shm type tmpfs" &&
    mount | grep -q "on /dev/mqueue type mqueue" && mount | grep -q "on /sys type sysfs (ro" &&
    mount | grep -q "on /sys/fs/cgroup type cgroup2 (ro" && echo mounts
    [ -c /dev/null ] && [ -c /dev/urandom ] && [ -L /dev/stdin ] && [ -L /dev/ptmx ] && echo devices
    { [ ! -e /proc/kcore ] || [ "$(wc -c </proc/kcore)" = 0 ]; } && [ -z "$(ls -A /proc/scsi 2>/dev/null; ls -A /sys/firmware 2>/dev/null)" ] && echo masked
    echo 1 2>/dev/null >/proc/sys/kernel/sysrq || echo readonly'
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = mounts ]
  [ "${lines[1]}" = devices ]
  [ "${lines[2]}" = masked ]
  [ "${lines[3]}" = readonly ]
}

@test "only the container's own processes are seen" {
  run bulkhead run --rm "$BUSYBOX" sh -c 'ls -d /proc/[0-9]* | wc -l'
  [ "$output" -le 4 ]
}

@test "-t gives a terminal of the caller's size, and follows resizing" {
  run python3 "$BATS_TEST_DIRNAME/lib/drive-terminal.py" size "$BUSYBOX"
  [ "$status" -eq 0 ]
}

@test "keys typed at the terminal send signals" {
  run python3 "$BATS_TEST_DIRNAME/lib/drive-terminal.py" interrupt "$BUSYBOX"
  [ "$status" -eq 0 ]
}

@test "the caller's terminal is restored" {
  run python3 "$BATS_TEST_DIRNAME/lib/drive-terminal.py" restore "$BUSYBOX"
  [ "$status" -eq 0 ]
}

@test "-t without a terminal is refused" {
  run bash -c 'echo x | bulkhead run --rm -it "$BUSYBOX" cat'
  [ "$status" -ne 0 ]
  [[ "$output" == *terminal* ]]
}

@test "a signal sent to the command line reaches the process" {
  bulkhead run --rm --name sig "$BUSYBOX" sh -c 'trap "exit 33" TERM; echo ready; while :; do sleep 0.1; done' >"$WORK/sig" 3>&- &
  pid=$!
  wait_until 30 grep -q ready "$WORK/sig"
  kill -TERM $pid
  status=0
  wait $pid || status=$?
  [ "$status" -eq 33 ]
}

@test "exec runs another process in the same container" {
  bulkhead run -d --name box "$BUSYBOX" sleep 1000
  run bulkhead exec box sh -c 'hostname; ps | grep -c "[s]leep 1000"'
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = "$(field box .id | cut -c1-12)" ]
  [ "${lines[1]}" -eq 1 ]
}

@test "exec: standard input, user, environment, directory, exit statuses" {
  bulkhead run -d --name box -e FROM_RUN=1 "$BUSYBOX" sleep 1000
  run bash -c 'printf abc | bulkhead exec -i box cat'
  [ "$output" = abc ]
  run bulkhead exec -u nobody -e K=v -w /tmp box sh -c 'id -u; echo $K $FROM_RUN; pwd'
  [ "${lines[0]}" = 65534 ]
  [ "${lines[1]}" = "v 1" ]
  [ "${lines[2]}" = /tmp ]
  run bulkhead exec box sh -c 'exit 9'
  [ "$status" -eq 9 ]
  run bulkhead exec box no-such-command
  [ "$status" -eq 127 ]
  run bulkhead exec box /etc/passwd
  [ "$status" -eq 126 ]
  run bulkhead exec -u no-such-user box true
  [ "$status" -eq 125 ] || [ "$status" -eq 126 ]
}

@test "exec in a container that does not run or does not exist" {
  run bulkhead exec absent true
  [ "$status" -eq 1 ] || [ "$status" -eq 125 ]
  [[ "$output" == bulkhead:*absent* ]]
  bulkhead run --name done "$BUSYBOX" true
  run bulkhead exec done true
  [ "$status" -ne 0 ]
  [[ "$output" == *"not running"* ]]
}

@test "exec carries a large file both ways" {
  head -c 8388608 /dev/urandom >"$WORK/random"
  bulkhead run -d --name box "$BUSYBOX" sleep 1000
  bulkhead exec -i box sh -c 'cat >/tmp/file' <"$WORK/random"
  bulkhead exec box cat /tmp/file | cmp - "$WORK/random"
}

@test "twenty processes at once" {
  bulkhead run -d --name box "$BUSYBOX" sleep 1000
  for i in $(seq 20); do
    bulkhead exec box sh -c "echo $i; exit $i" >"$WORK/exec.$i" 3>&- &
    pids[i]=$!
  done
  for i in $(seq 20); do
    status=0
    wait "${pids[i]}" || status=$?
    [ "$status" -eq "$i" ]
    [ "$(cat "$WORK/exec.$i")" = "$i" ]
  done
}

@test "children that are left over are reaped, and end with the first process" {
  run timeout 30 bulkhead run --rm "$BUSYBOX" sh -c 'sleep 1000 & (sleep 0.1 & ) ; sleep 0.3; echo end'
  [ "$status" -eq 0 ]
  [ "$output" = end ]
}

@test "a process that needs more memory than there is dies alone" {
  bulkhead run -d --name box -m 256m "$BUSYBOX" sleep 1000
  run bulkhead exec box sh -c 'head -c 1000000000 /dev/zero | tail -c 1000000000 | wc -c'
  run bulkhead exec box echo alive
  [ "$output" = alive ]
}
