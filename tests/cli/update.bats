#!/usr/bin/env bats
# update: another memory limit, for a container that runs and for its next start; and memory that it
# gives back by itself.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }
teardown() { remove_all; }

# limit_in CONTAINER: what its kernel knows
limit_in() { bulkhead exec "$1" cat /sys/fs/cgroup/memory.max; }

@test "a running container has its new limit at once, and keeps it" {
  bulkhead run -d --name web -m 256m -c 1 "$BUSYBOX" sleep 1000
  run bulkhead update -m 200m web
  [ "$status" -eq 0 ]
  [ "$output" = web ]
  [ "$(limit_in web)" -eq $((200 << 20)) ]
  [ "$(field web .options.memory_bytes)" -eq $((200 << 20)) ]
  [ "$(bulkhead stats --no-stream --format json web | jq .memory_limit_bytes)" -eq $((200 << 20)) ]
  bulkhead update --memory 256m web
  [ "$(limit_in web)" -eq $((256 << 20)) ]
  bulkhead update -m 100m web
  bulkhead stop -t 0 web
  bulkhead start web
  [ "$(limit_in web)" -eq $((100 << 20)) ]
  [ "$(bulkhead exec web awk '/MemTotal/ {print $2}' /proc/meminfo)" -le $((128 << 10)) ]
}

@test "a machine keeps its size until the next start" {
  bulkhead run -d --name web -m 200m -c 1 "$BUSYBOX" sleep 1000
  bulkhead update -m 256m web
  run bulkhead update -m 300m web
  [ "$status" -eq 1 ]
  [ "${#lines[@]}" -eq 1 ]
  [[ $output == "bulkhead: container web: "*"300 MiB"*"256 MiB"*stop* ]]
  [ "$(limit_in web)" = $((256 << 20)) ]
  [ "$(field web .options.memory_bytes)" -eq $((256 << 20)) ]
  bulkhead stop -t 0 web
  bulkhead update -m 300m web
  [ "$(field web .options.memory_bytes)" -eq $((300 << 20)) ]
  bulkhead start web
  [ "$(limit_in web)" -eq $((300 << 20)) ]
}

@test "memory that cannot be taken back refuses a limit, and nothing is killed" {
  bulkhead run -d --name web -m 256m -c 1 "$BUSYBOX" sleep 1000
  # Two file systems in memory, of 64 MiB at most each.
  bulkhead exec web sh -c 'for at in /dev /dev/shm; do dd if=/dev/zero of=$at/big bs=1M count=50 2>/dev/null; done'
  run bulkhead update -m 80m web
  [ "$status" -eq 1 ]
  [[ $output == "bulkhead: container web: "*"in use"*"80 MiB"* ]]
  [ "$(field web .options.memory_bytes)" -eq $((256 << 20)) ]
  [ "$(bulkhead exec web stat -c %s /dev/shm/big)" -eq $((50 << 20)) ]
  bulkhead exec web rm /dev/shm/big
  bulkhead update -m 80m web
  [ "$(limit_in web)" -eq $((80 << 20)) ]
}

@test "pages of files are given back for a lower limit" {
  bulkhead run -d --name web -m 256m -c 1 "$BUSYBOX" sleep 1000
  bulkhead exec web sh -c 'dd if=/dev/zero of=/big bs=1M count=120 2>/dev/null'
  [ "$(bulkhead exec web cat /sys/fs/cgroup/memory.current)" -gt $((100 << 20)) ]
  bulkhead update -m 64m web
  [ "$(limit_in web)" -eq $((64 << 20)) ]
  bulkhead exec web grep -qx 'oom_kill 0' /sys/fs/cgroup/memory.events
  [ "$(bulkhead exec web stat -c %s /big)" -eq $((120 << 20)) ]
}

# used_by CONTAINER: bytes that its kernel has charged to it
used_by() { bulkhead exec "$1" cat /sys/fs/cgroup/memory.current; }
uses_less_than() { [ "$(used_by "$1")" -lt "$2" ]; }

pss_of() { awk '/^Pss:/ {print $2}' "/proc/$(field "$1" .state.vm_pid)/smaps_rollup"; }
takes_less_than() { [ "$(pss_of "$1")" -lt "$2" ]; }

@test "files that lie unused in memory are given back without being asked for" {
  bulkhead run -d --name web -m 256m -c 1 "$BUSYBOX" sleep 1000
  bulkhead exec web sh -c 'dd if=/dev/urandom of=/big bs=1M count=120 2>/dev/null; sync; md5sum </big' >"$WORK/sum"
  [ "$(used_by web)" -gt $((100 << 20)) ]
  peak=$(pss_of web)
  wait_until 150 uses_less_than web $((30 << 20))
  wait_until 30 takes_less_than web $((peak - 60 * 1024))
  bulkhead exec web sh -c 'md5sum </big' | cmp - "$WORK/sum"
}

@test "files that are read again and again stay in memory" {
  bulkhead run -d --name web -m 256m -c 1 "$BUSYBOX" sh -c 'dd if=/dev/zero of=/big bs=1M count=60; sync; while :; do cat /big >/dev/null; sleep 1; done'
  sleep 35
  [ "$(used_by web)" -gt $((55 << 20)) ]
}

@test "one that was never started, several, and sizes that are none" {
  bulkhead create --name one "$BUSYBOX" cat /sys/fs/cgroup/memory.max
  bulkhead create --name two "$BUSYBOX" true
  run bulkhead update -m 100m one two nonsense
  [ "$status" -eq 1 ]
  [ "${#lines[@]}" -eq 3 ]
  [[ $output == *nonsense* ]]
  [ "$(field two .options.memory_bytes)" -eq $((100 << 20)) ]
  run bulkhead start -a one
  [ "$output" = $((100 << 20)) ]
  for size in 0 -5 nonsense 1k 99999999t; do
    run bulkhead update "--memory=$size" one
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
  done
  [ "$(field one .options.memory_bytes)" -eq $((100 << 20)) ]
  run bulkhead update one
  [ "$status" -eq 125 ]
  [[ $output == *--memory* ]]
}
