#!/usr/bin/env bats
# Real input: a Debian image made from packages, through a registry, with services that answer.

bats_require_minimum_version 1.5.0
load lib/bulkhead

setup_file() {
  bulkhead_setup_file
  "$project_dir/tests/system/lib/debian-image" "$WORK/debian.tar"
  umoci init --layout "$WORK/debian"
  umoci new --image "$WORK/debian:latest"
  mkdir "$WORK/rootfs"
  tar -C "$WORK/rootfs" --numeric-owner -xpf "$WORK/debian.tar"
  "$BATS_TEST_DIRNAME/lib/make-oddities.py" "$WORK/rootfs/opt"
  umoci insert --image "$WORK/debian:latest" "$WORK/rootfs" /
  umoci config --image "$WORK/debian:latest" --config.cmd bash
  rm -rf "$WORK/rootfs"
  cat >"$WORK/registry.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: $WORK/registry}}
http: {addr: 127.0.0.1:5000}
Y
  docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 3>&- &
  echo $! >"$WORK/registry.pid"
  wait_until 20 curl -sf http://127.0.0.1:5000/v2/
  skopeo copy -q --dest-tls-verify=false "oci:$WORK/debian:latest" docker://127.0.0.1:5000/debian:test
  export IMAGE=127.0.0.1:5000/debian:test
}

teardown_file() {
  kill "$(cat "$WORK/registry.pid")"
  bulkhead_teardown_file
}

teardown() { remove_all; }

@test "run pulls what is absent from the registry" {
  run bulkhead run --rm "$IMAGE" python3 -c 'print(sum(i * i for i in range(1000)))'
  [ "$status" -eq 0 ]
  [ "${lines[-1]}" = 332833500 ]
  run bulkhead image list
  [[ "$output" == *127.0.0.1:5000/debian*test* ]]
}

@test "how run pulls is said beside it" {
  bulkhead image rm "$IMAGE"
  run --separate-stderr bulkhead run --rm --progress none --max-concurrent-downloads 1 "$IMAGE" echo ran
  [ "$status" -eq 0 ]
  [ "$output" = ran ]
  [[ "$stderr" != *unpacking* ]]
  bulkhead image rm "$IMAGE"
  run --separate-stderr bulkhead run --rm --progress plain "$IMAGE" true
  [[ "$stderr" == *": unpacking "* ]]
  run bulkhead run --rm --max-concurrent-downloads 0 "$IMAGE" true
  [ "$status" -eq 125 ]
}

@test "pull again transfers nothing and says what is there" {
  run bulkhead image pull "$IMAGE"
  [ "$status" -eq 0 ]
  [[ "$output" == *sha256:* ]]
}

@test "pull of a tag and of a digest that do not exist" {
  run bulkhead image pull 127.0.0.1:5000/debian:absent
  [ "$status" -eq 1 ]
  [[ "$output" == *127.0.0.1:5000/debian:absent* ]]
  run bulkhead image pull "127.0.0.1:5000/debian@sha256:$(printf '0%.0s' $(seq 64))"
  [ "$status" -eq 1 ]
}

@test "redis runs detached and answers on the container's own address" {
  bulkhead run -d --name redis "$IMAGE" redis-server --protected-mode no --bind 0.0.0.0 --save ''
  address=$(field redis .network.address)
  wait_until 60 bash -c "redis-cli -h $address ping 2>/dev/null | grep -q PONG"
  redis-cli -h "$address" set key value
  [ "$(redis-cli -h "$address" get key)" = value ]
  run bulkhead exec redis redis-cli get key
  [ "$output" = value ]
  run bulkhead logs redis
  [[ "$output" == *"Ready to accept connections"* ]]
  bulkhead stop redis
  [ "$(field redis .state.exit_code)" -eq 0 ]
}

@test "nginx serves a page to curl on the host" {
  bulkhead run -d --name web "$IMAGE" sh -c 'echo "from a virtual machine" >/var/www/html/index.html; exec nginx -g "daemon off;"'
  address=$(field web .network.address)
  wait_until 60 curl -sf -o "$WORK/page" "http://$address/index.html"
  [ "$(cat "$WORK/page")" = "from a virtual machine" ]
}

@test "64 MiB of random bytes go through sha256sum" {
  head -c 67108864 /dev/urandom >"$WORK/random"
  run bulkhead run --rm -i "$IMAGE" sha256sum <"$WORK/random"
  [ "$output" = "$(sha256sum <"$WORK/random")" ]
}

@test "the tree in the machine is the tree that was made, with all its attributes" {
  list=$BATS_TEST_DIRNAME/lib/list-tree.py
  bulkhead run --rm -i --network none "$IMAGE" python3 - <"$list" >"$WORK/inside"
  mkdir "$WORK/unpacked"
  umoci raw unpack --image "$WORK/debian:latest" "$WORK/unpacked/rootfs"
  chroot "$WORK/unpacked/rootfs" python3 - <"$list" >"$WORK/outside"
  rm -rf "$WORK/unpacked"
  [ "$(wc -l <"$WORK/inside")" -gt 3000 ]
  grep -q "^/opt/far .* 259:1000000 " "$WORK/inside"
  grep -q "^/opt/linked .* 3 -2145916800000000000 " "$WORK/inside"
  grep -q "^/opt/attributes .*security.capability.*user.large" "$WORK/inside"
  diff "$WORK/inside" "$WORK/outside"
}
