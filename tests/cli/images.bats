#!/usr/bin/env bats
# image import, load, list, inspect, rm; archives made by other people's programs.

bats_require_minimum_version 1.5.0
load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }

@test "list shows what is there, as a table and as json" {
  run bulkhead image list
  [[ "$output" == *REPOSITORY*TAG*"IMAGE ID"* ]]
  [[ "$output" == *localhost/busybox*test* ]]
  run bulkhead image list --format json
  [ "$(jq length <<<"$output")" -ge 1 ]
}

@test "archives that skopeo makes are loaded, with the same digests" {
  mkdir -p "$WORK/layout"
  umoci init --layout "$WORK/layout/img"
  umoci new --image "$WORK/layout/img:one"
  mkdir -p "$WORK/root"
  tar -C "$WORK/root" -xf "$WORK/busybox.tar"
  umoci insert --image "$WORK/layout/img:one" "$WORK/root" /
  umoci config --image "$WORK/layout/img:one" --config.cmd echo --config.cmd from-config --config.env GREETING=hi
  skopeo copy -q "oci:$WORK/layout/img:one" "oci-archive:$WORK/oci.tar:localhost/oci:one"
  skopeo copy -q "oci:$WORK/layout/img:one" "docker-archive:$WORK/docker.tar:localhost/docker:one"
  run bulkhead image load -i "$WORK/oci.tar"
  [ "$status" -eq 0 ]
  run bulkhead image load -i "$WORK/docker.tar"
  [ "$status" -eq 0 ]
  for image in localhost/oci:one localhost/docker:one; do
    run bulkhead run --rm "$image"
    [ "$output" = from-config ]
    run bulkhead run --rm "$image" sh -c 'echo $GREETING'
    [ "$output" = hi ]
  done
}

@test "import takes a tar in any compression, from a file and from a pipe" {
  for program in cat gzip zstd bzip2 xz; do
    "$program" <"$WORK/busybox.tar" >"$WORK/packed"
    bulkhead image import "$WORK/packed" "localhost/packed:$program"
    bulkhead image import - "localhost/piped:$program" <"$WORK/packed"
    # OCI has no media type for the last two.
    case $program in
      gzip | zstd) kind=tar+$program blob=$(sha256sum <"$WORK/packed") ;;
      *) kind=tar blob=$(sha256sum <"$WORK/busybox.tar") ;;
    esac
    for image in packed piped; do
      bulkhead image save -o "$WORK/saved.tar" "localhost/$image:$program"
      run skopeo inspect --raw "oci-archive:$WORK/saved.tar"
      [ "$(jq -r '.layers[].mediaType' <<<"$output")" = "application/vnd.oci.image.layer.v1.$kind" ]
      [ "$(jq -r '.layers[].digest' <<<"$output")" = "sha256:${blob%% *}" ]
    done
  done
  bulkhead image verify
  run bulkhead run --rm localhost/piped:xz echo works
  [ "$output" = works ]
  run bulkhead image import - localhost/twice:xz < <(xz <"$WORK/busybox.tar" | xz)
  [ "$status" -eq 1 ]
  [[ "$output" == *"compressed twice"* ]]
}

@test "an import whose tar is wrong ends although its pipe stays open" {
  mkfifo "$WORK/fifo"
  sleep 60 >"$WORK/fifo" &
  local holder=$!
  head -c 10000 /dev/urandom >"$WORK/fifo" &
  run timeout 20 bulkhead image import "$WORK/fifo" localhost/wrong:1
  kill "$holder"
  [ "$status" -eq 1 ]
  [[ "$output" == *tar* ]]
}

@test "labels and annotations of an image steer nothing on the host" {
  rm -f /tmp/bulkhead-steered
  "$BATS_TEST_DIRNAME/lib/make-image.py" steering "$WORK/steering.tar"
  bulkhead image load -i "$WORK/steering.tar"
  # Beside it one that says nothing: the two differ in no setting.
  bulkhead create --name plain "$BUSYBOX" /bin/busybox true
  bulkhead create --name steered localhost/steering:latest /bin/busybox true
  settings() {
    bulkhead inspect "$1" | jq -S "$2"
  }
  local without='if type == "array" then .[0] else . end | del(.id, .name, .image, .created, .state, .labels, .network, .chain)'
  diff <(settings plain "$without" | sed 's/[0-9a-f]\{64\}/ID/g; s/plain/NAME/g') \
    <(settings steered "$without" | sed 's/[0-9a-f]\{64\}/ID/g; s/steered/NAME/g')
  run bulkhead start -a steered
  [ "$status" -eq 0 ]
  sleep 1
  run bulkhead inspect steered
  [[ "$output" != *binary:* ]]
  [ ! -e /tmp/bulkhead-steered ]
  bulkhead rm plain steered
}

@test "rm refuses what a container uses" {
  bulkhead create --name user "$BUSYBOX" true
  run bulkhead image rm "$BUSYBOX"
  [ "$status" -ne 0 ]
  [[ "$output" == *user* || "$output" == *container* ]]
  bulkhead rm user
}

@test "rm of an absent image" {
  run bulkhead image rm localhost/absent
  [ "$status" -eq 1 ]
  [[ "$output" == *localhost/absent* ]]
}

@test "an image without layers runs into a clear error" {
  "$BATS_TEST_DIRNAME/lib/make-image.py" empty "$WORK/empty.tar"
  bulkhead image load -i "$WORK/empty.tar"
  run bulkhead run --rm localhost/empty:latest /bin/true
  [ "$status" -eq 127 ]
}

# artifact_layout DIRECTORY: a layout with one artifact that has a blob, called localhost/artifact:1
artifact_layout() {
  local -A digests sizes
  mkdir -p "$1/blobs/sha256"
  keep() { # NAME, content on standard input
    cat >"$1/part"
    digests[$2]=$(sha256sum <"$1/part" | cut -d ' ' -f 1)
    sizes[$2]=$(stat -c %s "$1/part")
    mv "$1/part" "$1/blobs/sha256/${digests[$2]}"
  }
  keep "$1" config < <(printf '{}')
  keep "$1" blob < <(printf 'some content')
  keep "$1" manifest <<J
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/x.test",
"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:${digests[config]}","size":2},
"layers":[{"mediaType":"text/plain","digest":"sha256:${digests[blob]}","size":${sizes[blob]}}]}
J
  cat >"$1/index.json" <<J
{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",
"digest":"sha256:${digests[manifest]}","size":${sizes[manifest]},
"annotations":{"org.opencontainers.image.ref.name":"localhost/artifact:1"}}]}
J
  printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
}

@test "an artifact is kept, shown and handed on, but not run" {
  artifact_layout "$WORK/artifact"
  bulkhead image load -i "$WORK/artifact"
  run bulkhead run --rm localhost/artifact:1 true
  [ "$status" -eq 125 ]
  [[ "$output" == *"no container image but an artifact of type \"application/x.test\""* ]]
  run bulkhead create localhost/artifact:1
  [ "$status" -eq 125 ]
  bulkhead image tag localhost/artifact:1 localhost/artifact:2
  run bulkhead image ls -v
  [[ "$output" == *localhost/artifact*2*application/x.test* ]]
  [ "$(bulkhead image inspect localhost/artifact:2 | jq -r '.[0].Blobs[0].MediaType')" = text/plain ]
  bulkhead image save --format oci-dir -o "$WORK/handed-on" localhost/artifact:2
  [ -z "$(diff -r "$WORK/artifact/blobs" "$WORK/handed-on/blobs")" ]
  bulkhead image verify
  bulkhead image rm localhost/artifact:1 localhost/artifact:2
}

@test "the root of an image makes a directory" {
  mkdir "$WORK/imported" "$WORK/exported"
  tar -C "$WORK/imported" -xpf "$WORK/busybox.tar"
  bulkhead disk export "$(bulkhead image inspect "$BUSYBOX" | jq -r '.[0].Root')" / |
    tar --xattrs --xattrs-include='*' -xp -C "$WORK/exported"
  rmdir "$WORK/exported/lost+found" 2>/dev/null || true
  list() { (cd "$1" && find . -mindepth 1 -printf '%p %y %m %U %G %l\n' | sort); }
  diff <(list "$WORK/imported") <(list "$WORK/exported")
  diff -r --no-dereference "$WORK/imported" "$WORK/exported"
}

@test "delete is rm, and --all takes what no container uses" {
  "$BATS_TEST_DIRNAME/lib/make-image.py" whiteouts "$WORK/all.tar"
  bulkhead image load -q -i "$WORK/all.tar"
  bulkhead create --name user "$BUSYBOX" true
  run bulkhead image delete --all
  [ "$status" -eq 1 ]
  [[ "$output" == *"Untagged: localhost/whiteouts:latest"* ]]
  [[ "$output" == *"used by container user"* ]]
  run bulkhead image list -q
  [ "${#lines[@]}" -eq 1 ]
  bulkhead rm user
}

@test "whiteouts remove what lower layers have" {
  "$BATS_TEST_DIRNAME/lib/make-image.py" whiteouts "$WORK/whiteouts.tar"
  bulkhead image load -i "$WORK/whiteouts.tar"
  run bulkhead run --rm localhost/whiteouts:latest /bin/busybox sh -c '/bin/busybox ls -A /dir /opaque; /bin/busybox cat /dir/kept /link'
  [ "$status" -eq 0 ]
  [[ "$output" != *gone* ]]
  [[ "$output" == *kept* ]]
  [[ "$output" == *new* ]]
}

@test "tag, untag and prune leave what a container uses" {
  bulkhead image tag "$BUSYBOX" localhost/other:1
  bulkhead image untag localhost/other:1
  run bulkhead image untag "$BUSYBOX"
  [ "$status" -eq 1 ]
  "$BATS_TEST_DIRNAME/lib/make-image.py" whiteouts "$WORK/pruned.tar"
  bulkhead image load -q -i "$WORK/pruned.tar"
  bulkhead create --name user "$BUSYBOX" true
  bulkhead image prune -a
  run bulkhead image list -q
  [ "${#lines[@]}" -eq 1 ]
  run bulkhead start -a user
  [ "$status" -eq 0 ]
  bulkhead image verify
  bulkhead rm user
}

@test "system df tells what could be freed" {
  run bulkhead system df --format json
  [ "$(jq -r '.[0].type' <<<"$output")" = Images ]
  [ "$(jq '.[0].size' <<<"$output")" -gt 0 ]
  [ "$(jq '.[0].reclaimable == .[0].size' <<<"$output")" = true ]
}

@test "progress is plain where there is no terminal, and silent when asked" {
  run --separate-stderr bulkhead image load -i "$WORK/whiteouts.tar"
  [[ "$stderr" == *": unpacking "* ]]
  [[ "$stderr" != *$'\e'* ]]
  bulkhead image rm localhost/whiteouts:latest
  run --separate-stderr bulkhead image load --progress none -i "$WORK/whiteouts.tar"
  [ -z "$stderr" ]
  bulkhead image rm localhost/whiteouts:latest
  run --separate-stderr bulkhead image load --progress tty -i "$WORK/whiteouts.tar"
  [[ "$stderr" == *$'\e[K'* ]]
}
