#!/usr/bin/env bats
# stats: what containers use, and what they take of the host's memory.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }
teardown() { remove_all; }

# figure CONTAINER NAME: one of a single look
figure() { bulkhead stats --no-stream --format json "$1" | jq -r ".$2"; }

@test "no container runs: the header alone, and no line of json" {
  run bulkhead stats --no-stream
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 1 ]
  [[ $output == "CONTAINER ID"*NAME*"CPU %"*"MEM USAGE / LIMIT"*"MEM %"*"NET I/O"*"BLOCK I/O"*PIDS*"HOST MEM"* ]]
  run bulkhead stats --no-stream --format json
  [ "$status" -eq 0 ]
  [ -z "$output" ]
}

@test "a container that idles, and one that does not" {
  id=$(bulkhead run -d --name idle -m 256m -c 1 "$BUSYBOX" sleep 1000)
  bulkhead run -d --name busy -m 256m -c 1 "$BUSYBOX" sh -c 'while :; do :; done'
  sleep 1
  bulkhead stats --no-stream --format json >"$WORK/json"
  [ "$(wc -l <"$WORK/json")" -eq 2 ]
  jq -se 'map({(.name): .cpu_percent}) | add | .idle < 20 and .busy > 50 and .busy <= 100' "$WORK/json"
  jq -se 'all(.memory_bytes > 0 and .memory_limit_bytes == 268435456 and .memory_percent > 0 and .memory_percent < 50)' "$WORK/json"
  jq -se 'map(select(.name == "idle"))[0].pids == 1' "$WORK/json"
  jq -se --arg id "$id" 'any(.id == $id)' "$WORK/json"
  run bulkhead stats --no-stream idle
  [ "${#lines[@]}" -eq 2 ]
  [[ ${lines[1]} == "${id:0:12}   idle"*" / 256 MiB"* ]]
  run bulkhead stats --no-stream --no-trunc idle
  [[ ${lines[1]} == "$id   idle"* ]]
}

@test "host memory is that of shim and machine" {
  bulkhead run -d --name web -m 256m -c 1 "$BUSYBOX" sleep 1000
  pss() { awk '/^Pss:/ {print $2 * 1024}' "/proc/$1/smaps_rollup"; }
  sleep 1
  shown=$(figure web host_memory_bytes)
  expected=$(($(pss "$(field web .state.shim_pid)") + $(pss "$(field web .state.vm_pid)")))
  # Both move a little meanwhile.
  [ "$shown" -gt $((expected * 8 / 10)) ]
  [ "$shown" -lt $((expected * 12 / 10)) ]
}

@test "memory, processes, network and disk are counted" {
  bulkhead run -d --name web -m 256m -c 1 "$BUSYBOX" sleep 1000
  before=$(bulkhead stats --no-stream --format json web)
  bulkhead exec web sh -c 'dd if=/dev/zero of=/dev/shm/big bs=1M count=40 2>/dev/null; dd if=/dev/zero of=/big bs=1M count=20 conv=fsync 2>/dev/null'
  bulkhead exec -d web sleep 1000
  bulkhead exec web ping -c 3 "$(field web .network.gateway)"
  after=$(bulkhead stats --no-stream --format json web)
  jq -se '.[1].memory_bytes - .[0].memory_bytes > 35000000' <<<"$before$after"
  jq -se '.[1].block_written_bytes - .[0].block_written_bytes >= 20000000' <<<"$before$after"
  jq -se '.[1].network_sent_bytes - .[0].network_sent_bytes >= 250' <<<"$before$after"
  jq -se '.[1].network_received_bytes - .[0].network_received_bytes >= 250' <<<"$before$after"
  jq -e '.pids == 2' <<<"$after"
}

@test "stopped containers are shown with -a and by name, with dashes" {
  bulkhead run --name done "$BUSYBOX" true
  [ "$(bulkhead stats --no-stream | wc -l)" -eq 1 ]
  for what in -a done; do
    run bulkhead stats --no-stream $what
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 2 ]
    [[ ${lines[1]} == *"done "*"--"*"-- / --"*"--"* ]]
  done
  [ "$(figure "done" cpu_percent)" = null ]
}

@test "an unknown name is an error at once" {
  bulkhead run -d --name web "$BUSYBOX" sleep 1000
  run bulkhead stats web nonsense
  [ "$status" -eq 1 ]
  [ "${#lines[@]}" -eq 1 ]
  [[ $output == *nonsense*"not found"* ]]
}

# looks FILE: how many looks it has
looks() { grep -c "^CONTAINER ID" "$1"; }
has_looks() { [ "$(looks "$1")" -ge "$2" ]; }

@test "the stream follows containers that come and go" {
  bulkhead stats >"$WORK/stream" 3>&- &
  local stats=$!
  wait_until 20 has_looks "$WORK/stream" 1
  bulkhead run -d --name web "$BUSYBOX" sleep 1000
  wait_until 20 grep -q " web .*%" "$WORK/stream"
  bulkhead rm -f web
  local after
  after=$(looks "$WORK/stream")
  wait_until 20 has_looks "$WORK/stream" $((after + 3))
  [ "$(tail -n 1 "$WORK/stream" | cut -c1-12)" = "CONTAINER ID" ]
  kill $stats
  wait $stats || true
  # Not on a terminal: nothing is drawn over.
  ! grep -q $'\x1b' "$WORK/stream"
}

@test "the stream ends when every container that it was asked for is gone" {
  bulkhead run -d --name web "$BUSYBOX" sleep 1000
  timeout 60 bulkhead stats --format json web >"$WORK/stream" 3>&- &
  local stats=$!
  wait_until 20 test -s "$WORK/stream"
  bulkhead stop -t 0 web
  wait_until 20 grep -q '"pids":null' "$WORK/stream"
  bulkhead rm web
  local status=0
  wait $stats || status=$?
  [ $status -eq 0 ]
  jq -se 'all(.name == "web")' "$WORK/stream"
}

@test "on a terminal the table is drawn in place" {
  bulkhead run -d --name web "$BUSYBOX" sleep 1000
  run python3 "$BATS_TEST_DIRNAME/lib/drive-terminal.py" stats "$BUSYBOX"
  [ "$status" -eq 0 ]
}

@test "a machine that does not answer holds the others up for seconds only" {
  bulkhead run -d --name web "$BUSYBOX" sleep 1000
  bulkhead run -d --name hung "$BUSYBOX" sleep 1000
  kill -STOP "$(field hung .state.vm_pid)"
  begin=$SECONDS
  bulkhead stats --no-stream --format json >"$WORK/json"
  kill -CONT "$(field hung .state.vm_pid)"
  [ $((SECONDS - begin)) -le 8 ]
  jq -se 'map({(.name): .}) | add | .web.pids == 1 and .hung.pids == null and .hung.host_memory_bytes > 0' "$WORK/json"
  [ "$(figure hung pids)" -eq 1 ]
}
