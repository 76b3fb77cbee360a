# Loaded by every file of this directory.
# shellcheck shell=bash

project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
build_dir=${BULKHEAD_BUILD_DIR:-$project_dir/build/release}

# Directories of this file's own, on disk (the store) and short (sockets).
bulkhead_setup_file() {
  [ "$(id -u)" -eq 0 ] || skip "must run as root"
  PATH=$build_dir/bin:$PATH
  WORK=$(mktemp -d /tmp/bh-XXXXXX)
  BULKHEAD_STATE_DIR=$WORK/state
  BULKHEAD_RUN_DIR=$WORK/run
  BUSYBOX=localhost/busybox:test
  export project_dir build_dir PATH WORK BULKHEAD_STATE_DIR BULKHEAD_RUN_DIR BUSYBOX
  "$project_dir/scripts/make-busybox-image" "$WORK/busybox.tar"
  bulkhead image import "$WORK/busybox.tar" "$BUSYBOX"
  # The same tests with and without templates.
  if [ -z "${BULKHEAD_COLD:-}" ]; then
    bulkhead system warm
  fi
}

bulkhead_teardown_file() {
  bulkhead list -aq 2>/dev/null | xargs -r bulkhead rm -f >/dev/null 2>&1 || true
  leftovers=$(find_leftovers)
  rm -rf "$WORK"
  if [ -n "$leftovers" ]; then
    echo "left behind: $leftovers" >&3
    return 1
  fi
}

# What must be gone when no container exists any more: processes that name our directories, TAPs
# (this network namespace is ours), mounts, container directories.
find_leftovers() {
  local deadline=$((SECONDS + 10)) found
  while :; do
    found=$(
      pgrep -af "$WORK/" | grep -v -e bats -e pgrep -e docker-registry || true
      template_makers
      ip -o link show type tun 2>/dev/null | cut -d: -f2
      grep -F "$WORK" /proc/mounts || true
      find "$BULKHEAD_STATE_DIR/containers" "$BULKHEAD_RUN_DIR/containers" -mindepth 1 -maxdepth 1 2>/dev/null || true
    )
    if [ -z "$found" ] || [ $SECONDS -ge $deadline ]; then
      break
    fi
    sleep 0.2
  done
  printf '%s' "$found"
}

# template_makers: those that work for our containers, in the background.
template_makers() {
  local pid
  for pid in $(pgrep -x bulkhead-warm); do
    if grep -qzF "BULKHEAD_STATE_DIR=$BULKHEAD_STATE_DIR" "/proc/$pid/environ" 2>/dev/null; then
      echo "bulkhead-warm $pid"
    fi
  done
}

# remove_all: no container is left from the test before.
remove_all() {
  # One that removes itself may be gone before it is this one's turn.
  bulkhead list -aq | xargs -r bulkhead rm -f >/dev/null 2>&1 || true
}

# wait_until SECONDS COMMAND…
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.1
  done
}

# is_ready CONTAINER: it has said so.
is_ready() {
  [[ "$(bulkhead logs "$1")" == *ready* ]]
}

# field CONTAINER JQ: a value of inspect
field() {
  bulkhead inspect "$1" | jq -r ".[0]$2"
}
