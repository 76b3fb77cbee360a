#!/usr/bin/env bash
# A containerd of this test's own runs a container with our shim. Its root file systems (overlay and
# bind mounts) are not supported yet: the refusal must reach the user of ctr in plain words, and
# nothing may be left of the attempt.
set -euo pipefail

for program in containerd ctr; do
  command -v "$program" >/dev/null || { echo "$program is absent: apt-get install containerd"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "must run as root"; exit 77; }

work=$(mktemp -d /tmp/bh-XXXXXX)
export PATH=$BULKHEAD_BUILD_DIR/bin:$PATH BULKHEAD_STATE_DIR=$work/bulkhead BULKHEAD_RUN_DIR=$work/bh
containerd_pid=
finish() {
  if [ -n "$containerd_pid" ]; then
    kill "$containerd_pid" 2>/dev/null || true
    wait "$containerd_pid" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

cat >"$work/config.toml" <<C
version = 2
root = "$work/root"
state = "$work/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$work/c.sock"
[ttrpc]
  address = "$work/c.sock.ttrpc"
C
containerd --config "$work/config.toml" >"$work/containerd.log" 2>&1 &
containerd_pid=$!
for _ in $(seq 100); do
  ctr -a "$work/c.sock" version >/dev/null 2>&1 && break
  sleep 0.1
done

mkdir -p "$work/rootfs/bin"
set +e
output=$(timeout 60 ctr -a "$work/c.sock" run --rm --runtime io.containerd.bulkhead.v2 \
  --rootfs "$work/rootfs" box /bin/true 2>&1)
status=$?
set -e
echo "ctr: $output"
[ "$status" -ne 0 ]
[[ "$output" == *"not supported"* || "$output" == *"one root of type bulkhead/ext4 is expected"* ]]

# The shim ends with the attempt.
for _ in $(seq 100); do
  pgrep -f "$BULKHEAD_BUILD_DIR/bin/containerd-shim-bulkhead-v2.*$work" >/dev/null || break
  sleep 0.1
done
if pgrep -af "containerd-shim-bulkhead-v2.*$work"; then
  echo "a shim is left" >&2
  exit 1
fi
