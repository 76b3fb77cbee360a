#!/usr/bin/env bash
# kill -9 at any moment of a pull, push, load, prune or save, and several of them at once: the store
# verifies and the next try succeeds. BULKHEAD_TEST_SEED repeats a run, BULKHEAD_TEST_ROUNDS makes it longer.
set -euo pipefail

. "$(dirname "$0")/lib/images.bash"
rounds=${BULKHEAD_TEST_ROUNDS:-25}

for tool in skopeo umoci docker-registry; do
  command -v $tool >/dev/null || skip "$tool is absent"
done
if [ -z "${BULKHEAD_TEST_UNSHARED:-}" ]; then
  [ "$(id -u)" -eq 0 ] || skip "must run as root"
  BULKHEAD_TEST_UNSHARED=1 exec unshare --net sh -c 'ip link set lo up && exec "$0"' "$0"
fi

RANDOM=${BULKHEAD_TEST_SEED:=$((BASHPID % 32768))}
echo "BULKHEAD_TEST_SEED=$BULKHEAD_TEST_SEED"

work=$(mktemp -d /tmp/bh-XXXXXX)
registry=
trap '[ -z "$registry" ] || kill $registry; rm -rf "$work"' EXIT
export BULKHEAD_STATE_DIR=$work/state BULKHEAD_RUN_DIR=$work/run TMPDIR=$work

# Two images that share a layer, each with one of its own, large enough to be met in the middle.
umoci init --layout "$work/layout"
umoci new --image "$work/layout:base"
mkdir "$work/files"
for number in $(seq 200); do
  head -c $((number * 300)) /dev/urandom >"$work/files/$number"
done
umoci insert --image "$work/layout:base" "$work/files" /base >/dev/null 2>&1
for name in one two; do
  head -c 9000000 /dev/urandom | base64 >"$work/$name"
  umoci insert --image "$work/layout:base" --tag $name "$work/$name" /$name >/dev/null 2>&1
done
cat >"$work/registry.yml" <<CONFIG
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: 127.0.0.1:5000}
CONFIG
docker-registry serve "$work/registry.yml" 2>/dev/null &
registry=$!
for name in one two; do
  for _ in $(seq 50); do
    skopeo copy -q --dest-tls-verify=false "oci:$work/layout:$name" "docker://127.0.0.1:5000/$name:1" 2>/dev/null && break
    sleep 0.1
  done
  skopeo copy -q "oci:$work/layout:$name" "oci-archive:$work/$name.tar:localhost/$name:1"
done

pull() { "$image" pull -q --insecure "127.0.0.1:5000/$1:1"; }
load() { "$image" load -q -i "$work/$1.tar"; }
prune() { "$image" prune -a; }

# What is left may be garbage, but never damage.
verify() {
  "$image" verify >"$work/verify" || {
    echo "FAILED after $*:" >&2
    cat "$work/verify" >&2
    exit 1
  }
}

pick() { eval "echo \${$((RANDOM % $# + 1))}"; }

become() { # COMMAND IMAGE: so that a signal for us reaches it
  local command=$1 name=$2
  case $command in
    pull) exec "$image" pull -q --insecure "127.0.0.1:5000/$name:1" ;;
    load) exec "$image" load -q -i "$work/$name.tar" ;;
    prune) exec "$image" prune -a ;;
    save) exec "$image" save -o "$work/saved.tar" "localhost/$name:1" ;;
    remove) exec "$image" rm -f "localhost/$name:1" ;;
  esac
}

for round in $(seq "$rounds"); do
  pids=()
  what=
  for _ in 1 2 3; do
    command=$(pick pull pull load load prune save remove)
    name=$(pick one two)
    what+="$command $name, "
    become "$command" "$name" >/dev/null 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do
    sleep "0.$(printf %03d $((RANDOM % 180)))"
    kill -9 "$pid" 2>/dev/null || true
  done
  wait "${pids[@]}" 2>/dev/null || true
  verify "round $round: $what"
  next=$(pick pull load)
  $next one >/dev/null
  $next two >/dev/null
  verify "round $round: $what then $next"
  if [ $((RANDOM % 2)) -eq 0 ]; then
    prune >/dev/null
  fi
done

# Pushes, each to a repository that has nothing: what the registry has in the end is whole.
pull one >/dev/null
expected=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://127.0.0.1:5000/one:1)
killed=0
for round in $(seq "$rounds"); do
  pushed=127.0.0.1:5000/pushed$round:1
  "$image" push -q --insecure 127.0.0.1:5000/one:1 "$pushed" >/dev/null 2>&1 &
  sleep "0.$(printf %03d $((RANDOM % 80)))"
  kill -9 $! 2>/dev/null || true
  wait $! 2>/dev/null || killed=$((killed + 1))
  verify "push $round"
  "$image" push -q --insecure 127.0.0.1:5000/one:1 "$pushed" >/dev/null
  [ "$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$pushed")" = "$expected" ]
  skopeo copy -q --src-tls-verify=false "docker://$pushed" "dir:$work/pushed"  # checks every digest
  rm -rf "$work/pushed"
done
echo "ok: $killed of $rounds pushes were killed"
[ "$killed" -gt 0 ]

# Two pulls of one image at once, again and again from nothing: both succeed, and one root is made.
for _ in 1 2 3; do
  prune >/dev/null
  pull one >/dev/null &
  first=$!
  pull one >/dev/null
  wait $first
  [ "$(find "$BULKHEAD_STATE_DIR/roots" -name '*.ext4' | wc -l)" -eq 1 ]
  verify "two pulls at once"
done

prune >/dev/null
left=$(find "$BULKHEAD_STATE_DIR" -type f ! -name 'images.db*' ! -path '*/content/lock')
[ -z "$left" ] || {
  echo "FAILED: left behind: $left" >&2
  exit 1
}
echo "all passed: $rounds rounds"
