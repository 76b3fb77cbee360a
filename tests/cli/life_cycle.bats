#!/usr/bin/env bats
# list, inspect, logs, start, stop, kill, rm, wait.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }
teardown() { remove_all; }

@test "run -d prints the id; list, ls and ps show the container" {
  id=$(bulkhead run -d --name web "$BUSYBOX" sleep 1000)
  [[ "$id" =~ ^[0-9a-f]{64}$ ]]
  for command in list ls ps; do
    run bulkhead "$command"
    [[ "$output" == *"${id:0:12}"* ]]
    [[ "$output" == *web* ]]
  done
  run bulkhead list -q
  [ "$output" = "${id:0:12}" ]
  run bulkhead list --format json
  [ "$(jq -r '.[0].name' <<<"$output")" = web ]
  [ "$(jq -r '.[0].status' <<<"$output")" = running ]
}

@test "a stopped container is listed with -a only" {
  bulkhead run --name done "$BUSYBOX" sh -c 'exit 3' || true
  [ -z "$(bulkhead list -q)" ]
  run bulkhead list -a
  [[ "$output" == *done* ]]
  [[ "${output,,}" == *"exited (3)"* ]]
}

@test "containers are found by name, id and the beginning of an id" {
  id=$(bulkhead run -d --name web "$BUSYBOX" sleep 1000)
  for word in web "$id" "${id:0:6}"; do
    [ "$(field "$word" .id)" = "$id" ]
  done
  run bulkhead inspect nonsense
  [ "$status" -eq 1 ]
  [[ "$output" == *nonsense* ]]
}

@test "a name is taken once" {
  bulkhead create --name web "$BUSYBOX" true
  run bulkhead create --name web "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [[ "$output" == *web* ]]
  run bulkhead create --name ../x "$BUSYBOX" true
  [ "$status" -eq 125 ]
}

@test "create, start, wait, start again: the writable layer stays" {
  bulkhead create --name box "$BUSYBOX" sh -c 'echo x >>/count; wc -l </count; exit 4'
  [ "$(field box .state.status)" = created ]
  bulkhead start box
  [ "$(bulkhead wait box)" -eq 4 ]
  run bulkhead start -a box
  [ "$status" -eq 4 ]
  [ "$output" -eq 2 ]
}

@test "logs keep both streams apart, byte for byte, and follow" {
  bulkhead run --name box "$BUSYBOX" sh -c 'printf "a\nb"; echo err >&2' >/dev/null 2>&1
  bulkhead logs box >"$WORK/out" 2>"$WORK/err"
  [ "$(cat "$WORK/out")" = "$(printf 'a\nb')" ]
  [ "$(cat "$WORK/err")" = err ]
  bulkhead run -d --name talk "$BUSYBOX" sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done'
  run timeout 60 bulkhead logs -f talk
  [ "$status" -eq 0 ]
  [ "$output" = "$(printf '1\n2\n3')" ]
  run bulkhead logs --tail 1 talk
  [ "$output" = 3 ]
  run bulkhead logs -t --tail 1 talk
  [[ "$output" =~ ^20[0-9-]+T[0-9:.]+Z\ 3$ ]]
}

@test "stop sends SIGTERM, then SIGKILL after the time given" {
  bulkhead run -d --name polite "$BUSYBOX" sh -c 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done'
  wait_until 20 is_ready polite
  run bulkhead stop polite
  [ "$status" -eq 0 ]
  [ "$output" = polite ]
  [ "$(field polite .state.exit_code)" -eq 7 ]
  bulkhead run -d --name deaf "$BUSYBOX" sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
  wait_until 20 is_ready deaf
  before=$SECONDS
  bulkhead stop -t 1 deaf
  [ $((SECONDS - before)) -le 8 ]
  [ "$(field deaf .state.exit_code)" -eq 137 ]
}

@test "kill sends the signal asked for" {
  bulkhead run -d --name box "$BUSYBOX" sh -c 'trap "exit 5" USR1; echo ready; while :; do sleep 0.1; done'
  wait_until 20 is_ready box
  bulkhead kill -s USR1 box
  [ "$(bulkhead wait box)" -eq 5 ]
  bulkhead run -d --name box2 "$BUSYBOX" sleep 1000
  bulkhead kill box2
  [ "$(bulkhead wait box2)" -eq 137 ]
  run bulkhead kill box2
  [ "$status" -ne 0 ]
  [[ "$output" == *"not running"* ]]
  run bulkhead kill -s NONSENSE box
  [ "$status" -ne 0 ]
}

@test "rm refuses a running container, rm -f does not" {
  bulkhead run -d --name box "$BUSYBOX" sleep 1000
  run bulkhead rm box
  [ "$status" -eq 1 ]
  [[ "$output" == *running* ]]
  run bulkhead rm -f box
  [ "$status" -eq 0 ]
  [ -z "$(bulkhead list -aq)" ]
  run bulkhead rm absent
  [ "$status" -eq 1 ]
}

@test "the container survives the command line that started it" {
  setsid bulkhead run --name box "$BUSYBOX" sh -c 'while :; do echo tick; sleep 0.2; done' >/dev/null 2>&1 3>&- &
  wait_until 30 bash -c '[ "$(bulkhead list -q | wc -l)" = 1 ] && bulkhead logs box | grep -q tick'
  client=$(pgrep -f "bulkhead run --name box")
  kill -KILL $client
  before=$(bulkhead logs box | wc -l)
  sleep 1.5
  [ "$(field box .state.status)" = running ]
  [ "$(bulkhead logs box | wc -l)" -gt "$before" ]
}

@test "ten containers at once" {
  for i in $(seq 10); do
    bulkhead run --rm "$BUSYBOX" sh -c "echo $i; ip -4 -o addr show eth0" >"$WORK/many.$i" 2>&1 3>&- &
    pids[i]=$!
  done
  for i in $(seq 10); do
    wait "${pids[i]}"
    [ "$(head -n 1 "$WORK/many.$i")" = "$i" ]
  done
  [ "$(cat "$WORK"/many.* | awk '/inet/ {print $4}' | sort -u | wc -l)" -eq 10 ]
}
