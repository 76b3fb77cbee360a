#!/usr/bin/env bats
# The host's wall clock is stepped, as by an administrator or by NTP: nothing hangs, ends too early or
# lies. The machine's own clock stays as it is: Bulkhead's programs see one that the tests can step
# (lib/step_clock.cc), and so does QEMU in the last test.

load lib/bulkhead

DAY=86400

setup_file() {
  bulkhead_setup_file
  STEPPED=$build_dir/tests/cli
  [ -e "$STEPPED/step-clock.so" ] || skip "tests/cli/step-clock.so is not built"
  STEP_CLOCK_FILE=$WORK/step
  cat >"$WORK/registry.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: $WORK/registry}}
http: {addr: 127.0.0.1:5000}
Y
  docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 3>&- &
  REGISTRY=$!
  wait_until 20 curl -sf http://127.0.0.1:5000/v2/
  export STEPPED STEP_CLOCK_FILE REGISTRY
}

teardown_file() {
  [ -z "${REGISTRY:-}" ] || kill "$REGISTRY"
  bulkhead_teardown_file
}

setup() { step 0; }

teardown() {
  [ -z "${SHAKER:-}" ] || kill "$SHAKER"
  remove_all
}

# stepped COMMAND…: it sees the clock that steps, and so do its children.
stepped() { LD_PRELOAD=$STEPPED/step-clock.so "$@"; }

# bulkhead WORD…: the program, with the clock that steps. Its shims and all else that it starts too.
# What hangs is ended: a wait by the wrong clock is one of a day.
bulkhead() { stepped timeout 100 "$build_dir/bin/bulkhead" "$@"; }

# step SECONDS: the clock is that much ahead of this machine's, from now on.
step() { echo "$1" >"$STEP_CLOCK_FILE"; }

# shake: from now on, and until the test ends, the clock jumps two days forth and back all the time.
shake() {
  while :; do
    step $DAY
    sleep 0.02
    step -$DAY
    sleep 0.02
  done 3>&- &
  SHAKER=$!
}

# about SECONDS COMMAND…: it takes so long, and not much longer, by this machine's clock.
about() {
  local time=$1 begin=$SECONDS status=0 took
  shift
  "$@" || status=$?
  took=$((SECONDS - begin))
  [ $took -ge "$time" ] && [ $took -le $((time + 15)) ] || {
    echo "took $took s: $*"
    return 99
  }
  return $status
}

# agrees SECONDS: that is the time of the stepped clock, or was a moment ago.
agrees() {
  local late=$(($(stepped date +%s) - $1))
  [ $late -ge 0 ] && [ $late -le 15 ] || {
    echo "the clock is $late s late"
    return 1
  }
}

# starts WARM OPTION…: a container starts so, and has the host's time.
starts() {
  local expected=$1
  shift
  time=$(about 0 bulkhead run --name one "$@" "$BUSYBOX" date +%s)
  agrees "$time"
  [ "$(field one .state.warm)" = "$expected" ]
  agrees "$(date -d "$(field one .state.finished_at)" +%s)"
  bulkhead rm one
}

@test "containers start after a step, warm and cold, and have the host's time" {
  for offset in $DAY -$DAY 0; do
    step $offset
    starts true
    starts false --cold
  done
}

@test "a template that was saved before a step starts containers after it" {
  for offset in $DAY -$DAY; do
    step $offset
    bulkhead system template rm --all
    bulkhead system warm
    agrees "$(date -d "$(bulkhead system template list --format json | jq -r '.[0].created')" +%s)"
    step 0
    starts true
    step -$offset
    starts true
    bulkhead system template list
    bulkhead system df
  done
}

@test "a container runs on through steps" {
  bulkhead run -d --name box "$BUSYBOX" sh -c 'while :; do echo tick; sleep 0.2; done'
  bulkhead logs -f box >"$WORK/followed" &
  local follower=$!
  before=$(bulkhead exec box date +%s)
  begin=$SECONDS
  for offset in $DAY -$DAY 0; do
    step $offset
    [ "$(about 0 bulkhead exec box echo alive)" = alive ]
    about 2 bulkhead exec box sleep 2
    about 0 bulkhead stats --no-stream --format json box | jq -e '.name == "box"'
    [ "$(bulkhead list --format json | jq -r '.[0].status')" = running ]
    # Its lines have the host's time of when they came.
    agrees "$(date -d "$(bulkhead logs -t --tail 1 box | cut -d' ' -f1)" +%s)"
  done
  # Its own clock has gone on as if nothing had been.
  after=$(bulkhead exec box date +%s)
  late=$((SECONDS - begin - (after - before)))
  [ $late -ge -3 ] && [ $late -le 3 ]
  about 1 bulkhead stop -t 1 box
  status=0
  wait $follower || status=$?
  [ $status -eq 0 ]
  [ "$(grep -c tick "$WORK/followed")" = "$(bulkhead logs box | wc -l)" ]
}

# later: the clock steps forward and back in the next two seconds.
later() {
  (sleep 0.7; step $DAY; sleep 0.7; step -$DAY) 3>&- &
}

@test "the time limit of stop is neither cut nor stretched" {
  for _ in 1 2; do
    bulkhead run -d --name box "$BUSYBOX" sh -c 'trap "" TERM; while :; do sleep 1; done'
    later
    about 4 bulkhead stop -t 4 box
    [ "$(field box .state.exit_code)" -eq 137 ]
    bulkhead rm box
  done
}

@test "wait waits until the end" {
  bulkhead run -d --name box "$BUSYBOX" sh -c 'sleep 4; exit 7'
  later
  [ "$(about 3 bulkhead wait box)" -eq 7 ]
}

@test "a run in the foreground ends with its process, and nothing is left of it" {
  later
  status=0
  about 4 bulkhead run --rm "$BUSYBOX" sh -c 'sleep 4; exit 7' || status=$?
  [ $status -eq 7 ]
  [ -z "$(bulkhead list -aq)" ]
}

@test "addresses are held by who has them, and by nobody longer" {
  bulkhead run -d --name one "$BUSYBOX" sleep 1000
  step $DAY
  bulkhead run -d --name two "$BUSYBOX" sleep 1000
  step -$DAY
  bulkhead run -d --name three "$BUSYBOX" sleep 1000
  for name in one two three; do
    field $name .network.address
  done | sort -u | wc -l | grep -qx 3
  [ "$(bulkhead network inspect bulkhead | jq '.[0].containers | length')" -eq 3 ]
  bulkhead exec one ping -c 1 -W 5 "$(field three .network.address)"
  bulkhead rm -f one two three
  [ "$(bulkhead network inspect bulkhead | jq '.[0].containers | length')" -eq 0 ]
  bulkhead network prune
}

@test "images are pushed and pulled while the clock jumps" {
  bulkhead image tag "$BUSYBOX" 127.0.0.1:5000/busybox:test
  shake
  about 0 bulkhead image push 127.0.0.1:5000/busybox:test
  bulkhead image rm 127.0.0.1:5000/busybox:test "$BUSYBOX"
  about 0 bulkhead image pull 127.0.0.1:5000/busybox:test
  bulkhead image list
  bulkhead image verify
  about 0 bulkhead run --rm 127.0.0.1:5000/busybox:test true
  bulkhead image tag 127.0.0.1:5000/busybox:test "$BUSYBOX"
}

@test "a life while the clock jumps all the time" {
  shake
  for option in --name=one --cold; do
    about 0 bulkhead run --rm "$option" "$BUSYBOX" true
  done
  bulkhead system template rm --all
  about 0 bulkhead system warm
  bulkhead run -d --name box "$BUSYBOX" sh -c 'trap "" TERM; while :; do sleep 1; done'
  [ "$(field box .state.warm)" = true ]
  [ "$(about 0 bulkhead exec box echo alive)" = alive ]
  about 2 bulkhead exec box sleep 2
  about 0 bulkhead update -m 500m box
  about 0 bulkhead list
  about 0 bulkhead stats --no-stream box
  about 3 bulkhead stop -t 3 box
  about 0 bulkhead start box
  about 0 bulkhead kill box
  [ "$(about 0 bulkhead wait box)" -eq 137 ]
  about 0 bulkhead logs -t box
  about 0 bulkhead rm box
}

@test "a guest's time is not QEMU's" {
  mkdir -p "$WORK/jumping"
  cp -r "$build_dir/bin" "$build_dir/libexec" "$WORK/jumping"
  cp "$STEPPED/qemu-step-clock.so" "$WORK/jumping/libexec/bulkhead-qemu-preload.so"
  jumping() { BULKHEAD_SHARE_DIR=$build_dir/share/bulkhead timeout 100 "$WORK/jumping/bin/bulkhead" "$@"; }
  jumping system template rm --all
  for option in --cold --name=one --name=two; do
    # shellcheck disable=SC2016
    jumping run --rm "$option" "$BUSYBOX" sh -c 'for i in 1 2 3 4; do date +%s; sleep 1; done' >"$WORK/times"
    agrees $(($(tail -n 1 "$WORK/times") + 1))
    # A second a second, not less and seldom more.
    awk 'NR > 1 && ($1 - last < 1 || $1 - last > 10) {bad = 1} {last = $1} END {exit bad || NR != 4}' "$WORK/times"
    wait_until 20 no_maker_works
  done
  jumping run -d --name box "$BUSYBOX" sleep 1000
  [ "$(field box .state.warm)" = true ]
  # It did have that clock.
  grep -q " $(stat -c %i "$WORK/jumping/libexec/bulkhead-qemu-preload.so") " "/proc/$(field box .state.vm_pid)/maps"
  about 2 jumping exec box sleep 2
  about 2 jumping stop -t 2 box
  bulkhead system template rm --all
  bulkhead system warm
}

no_maker_works() { [ -z "$(template_makers)" ]; }
