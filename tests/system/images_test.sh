#!/usr/bin/env bash
# bulkhead-image against skopeo, podman, umoci and e2fsprogs: what they make is loaded with the digests
# that they see, unpacks to the tree that they unpack, what is saved they read back, and nothing is
# left of what fails.
set -euo pipefail

. "$(dirname "$0")/lib/images.bash"

[ "$(id -u)" -eq 0 ] || skip "must run as root"
for tool in skopeo umoci debugfs e2fsck jq busybox zstd; do
  PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || skip "$tool is absent"
done
PATH=$PATH:/usr/sbin

# A mount namespace of our own, for small disks that go with it.
if [ -z "${BULKHEAD_TEST_UNSHARED:-}" ]; then
  BULKHEAD_TEST_UNSHARED=1 exec unshare --mount "$0"
fi

work=$(mktemp -d /tmp/bh-XXXXXX)
trap 'rm -rf "$work"' EXIT
export BULKHEAD_STATE_DIR=$work/state BULKHEAD_RUN_DIR=$work/run TMPDIR=$work

# fails_with TEXT COMMAND…: exit status 1, one line on standard error that holds the text
fails_with() {
  local text=$1 status=0
  shift
  "$@" >"$work/out" 2>"$work/err" || status=$?
  grep '^bulkhead: ' "$work/err" >"$work/lines" || true
  if [ "$status" -ne 1 ] || [ "$(wc -l <"$work/lines")" -ne 1 ] || ! grep -qF -- "$text" "$work/lines"; then
    echo "status $status, standard error:" >&2
    cat "$work/err" >&2
    return 1
  fi
}

nothing_left() { # but the database and the lock
  local left
  left=$(find "$BULKHEAD_STATE_DIR" -type f ! -name 'images.db*' ! -path '*/content/lock')
  equal "" "$left"
}

no_ingest_left() { equal "" "$(ls "$BULKHEAD_STATE_DIR/content/ingest")"; }

# --- what the peers make ------------------------------------------------------------------------

"$project_dir/scripts/make-busybox-image" "$work/busybox.tar"
mkdir "$work/root"
tar -C "$work/root" -xf "$work/busybox.tar"
mkdir -p "$work/root/dir/kept" "$work/root/dir/gone"
echo one >"$work/root/dir/file"
ln "$work/root/dir/file" "$work/root/dir/hard"
ln -s ../dir/file "$work/root/dir/soft"
chown 12:34 "$work/root/dir/file"
chmod 4755 "$work/root/dir/file"
umoci init --layout "$work/layout"
umoci new --image "$work/layout:one"
umoci insert --image "$work/layout:one" "$work/root" / >/dev/null 2>&1
umoci insert --image "$work/layout:one" --whiteout /dir/gone >/dev/null 2>&1
echo two >"$work/two"
umoci insert --image "$work/layout:one" "$work/two" /dir/file2 >/dev/null 2>&1
umoci config --image "$work/layout:one" --config.cmd echo --config.user 1:2 --config.env A=b
umoci gc --layout "$work/layout" >/dev/null 2>&1
skopeo copy -q "oci:$work/layout:one" "oci-archive:$work/oci.tar:localhost/oci:one"
skopeo copy -q "oci:$work/layout:one" "docker-archive:$work/docker.tar:localhost/docker:one"
umoci unpack --image "$work/layout:one" "$work/bundle" >/dev/null 2>&1

# --- loading ------------------------------------------------------------------------------------

check "a layout directory loads" "$image" load -q -i "$work/layout"
check "an oci-archive loads" "$image" load -q -i "$work/oci.tar"
check "a docker-archive loads" "$image" load -q -i "$work/docker.tar"
layout_reference=docker.io/library/layout:one
check "layout: the manifest's digest is skopeo's" equal \
  "sha256:$(skopeo inspect --raw "oci:$work/layout:one" | sha256)" "$(field $layout_reference digest)"
check "oci-archive: the manifest's digest is skopeo's" equal \
  "sha256:$(skopeo inspect --raw "oci-archive:$work/oci.tar" | sha256)" "$(field localhost/oci:one digest)"
check "docker-archive: the image id is skopeo's" equal \
  "sha256:$(skopeo inspect --config --raw "docker-archive:$work/docker.tar" | sha256)" "$(field localhost/docker:one id)"
check "all three are the same image" equal 1 "$("$image" list -q | wc -l)"
check "and share one root" equal 1 "$(find "$BULKHEAD_STATE_DIR/roots" -name '*.ext4' | wc -l)"

inspected=$("$image" inspect localhost/oci:one)
check "inspect shows the config" equal '["echo"] 1:2' \
  "$(jq -r '.[0].Config | "\(.Cmd | tojson) \(.User)"' <<<"$inspected")"
check "inspect knows all names" equal 3 "$(jq '.[0].RepoTags | length' <<<"$inspected")"

# --- saving: others read it back, equal by digest --------------------------------------------------

raw_digest() { echo "sha256:$(skopeo inspect --raw "$1" | sha256)"; }
config_digest() { echo "sha256:$(skopeo inspect --config --raw "$1" | sha256)"; }
manifest=$(field localhost/oci:one digest)
id=$(field localhost/oci:one id)
check "save as oci-archive" "$image" save -o "$work/saved.oci" localhost/oci:one
check "skopeo reads the same manifest" equal "$manifest" "$(raw_digest "oci-archive:$work/saved.oci")"
check "and all of it" skopeo copy -q "oci-archive:$work/saved.oci:one" "dir:$work/saved-dir"
check "save as oci-dir" "$image" save --format oci-dir -o "$work/saved-layout" localhost/oci:one
check "skopeo reads the same manifest" equal "$manifest" "$(raw_digest "oci:$work/saved-layout:one")"
check "umoci unpacks it" umoci unpack --image "$work/saved-layout:one" "$work/saved-bundle"
check "to the same tree" diff -r --no-dereference "$work/bundle/rootfs" "$work/saved-bundle/rootfs"
check "save as docker-archive" "$image" save --format docker-archive -o "$work/saved.docker" localhost/oci:one
check "skopeo reads the same config" equal "$id" "$(config_digest "docker-archive:$work/saved.docker")"
check "and all of it" skopeo copy -q "docker-archive:$work/saved.docker" "dir:$work/saved-docker-dir"
check "save to a pipe, of two images" sh -c "'$image' save localhost/oci:one localhost/docker:one | cat >'$work/two.oci'"
check "skopeo finds both by name" equal "$manifest $(field localhost/docker:one digest)" \
  "$(raw_digest "oci-archive:$work/two.oci:localhost/oci:one") $(raw_digest "oci-archive:$work/two.oci:localhost/docker:one")"
if command -v podman >/dev/null; then
  podman=(podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs)
  for saved in saved.oci saved.docker; do
    check "podman loads $saved" "${podman[@]}" load -q -i "$work/$saved"
    check "with the same id" equal "${id#sha256:}" "$("${podman[@]}" image inspect --format '{{.Id}}' localhost/oci:one)"
    "${podman[@]}" rmi -f localhost/oci:one >/dev/null
  done
fi
check "a platform that is not here" fails_with "linux/arm64" "$image" save --platform linux/arm64 -o "$work/none" localhost/oci:one
check "leaves no file" [ ! -e "$work/none" ]

# --- an index of two platforms -----------------------------------------------------------------------

index_of() { # LAYOUT: puts an index of its images "amd64" and "arm64" under the name "both"
  python3 - "$1" <<'PYTHON'
import hashlib, json, sys
layout = sys.argv[1]
index = json.load(open(f"{layout}/index.json"))
def named(name):
    entry = next(one for one in index["manifests"]
                 if one["annotations"]["org.opencontainers.image.ref.name"] == name)
    return {"mediaType": entry["mediaType"], "digest": entry["digest"], "size": entry["size"],
            "platform": {"os": "linux", "architecture": name}}
inner = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                    "manifests": [named("amd64"), named("arm64")]}).encode()
digest = hashlib.sha256(inner).hexdigest()
open(f"{layout}/blobs/sha256/{digest}", "wb").write(inner)
index["manifests"] = [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": f"sha256:{digest}",
                       "size": len(inner), "annotations": {"org.opencontainers.image.ref.name": "both"}}]
json.dump(index, open(f"{layout}/index.json", "w"))
PYTHON
}
umoci init --layout "$work/both"
for architecture in amd64 arm64; do
  umoci new --image "$work/both:$architecture"
  umoci config --image "$work/both:$architecture" --architecture $architecture
  umoci insert --image "$work/both:$architecture" "$work/root/dir" /$architecture >/dev/null 2>&1
done
index_of "$work/both"
check "one platform of an index loads" "$image" load -q -i "$work/both" --platform linux/arm64
check "it is the one asked for" equal linux/arm64 "$(field docker.io/library/both:both platform)"
check "and goes out as a manifest" sh -c "'$image' save both:both -o '$work/arm.oci' && skopeo inspect --raw oci-archive:'$work/arm.oci' | grep -q config"
check "the other is not there" fails_with "linux/amd64" "$image" save --platform linux/amd64 -o "$work/none" both:both
check "all platforms load" "$image" load -q -i "$work/both" --all-platforms
check "and go out as the index that came" "$image" save both:both -o "$work/both.oci"
check "with its digest" equal "$(raw_digest "oci:$work/both:both")" "$(raw_digest "oci-archive:$work/both.oci")"
check "whose platforms skopeo copies, all" skopeo copy -q --all "oci-archive:$work/both.oci" "dir:$work/both-dir"
check "the store verifies" "$image" verify
check "and lets go of all of it" "$image" rm both:both

# --- the root -----------------------------------------------------------------------------------

root=$(jq -r '.[0].Root' <<<"$inspected")
check "e2fsck finds nothing" e2fsck -fn "$root" >/dev/null 2>&1
mkdir "$work/dump"
debugfs -R "rdump / $work/dump" "$root" >/dev/null 2>&1
# rdump drops set-uid, set-gid and sticky bits: those are looked at one by one.
tree() {
  (cd "$1" && find . -mindepth 1 ! -name lost+found -printf '%P %y %m %U:%G %l\n') |
    sed -E 's/ [0-7]([0-7]{3}) ([0-9]+:)/ \1 \2/' | sort
}
mode() { debugfs -R "stat $1" "$root" 2>/dev/null | grep -o 'Mode: *[0-7]*' | tr -s ' ' | cut -d' ' -f2; }
tree "$work/bundle/rootfs" >"$work/expected"
tree "$work/dump" >"$work/actual"
check "the tree is umoci's" diff "$work/expected" "$work/actual"
check "set-uid bits are there" equal 04755 "$(mode /dir/file)"
check "sticky bits are there" equal 01777 "$(mode /tmp)"
check "the contents too" diff -r --no-dereference "$work/bundle/rootfs" "$work/dump"

# --- removing -----------------------------------------------------------------------------------

check "an id with several names is not removed" fails_with "several names" "$image" rm "$(field localhost/oci:one id)"
check "names go one by one" "$image" rm layout:one localhost/oci:one
check "the last takes the content" equal "Deleted: sha256:" \
  "$("$image" rm localhost/docker:one | grep -o 'Deleted: sha256:')"
check "nothing is left" nothing_left
check "an absent image" fails_with "not found" "$image" rm localhost/absent

# --- importing ----------------------------------------------------------------------------------

gzip -c "$work/busybox.tar" >"$work/busybox.tar.gz"
zstd -q "$work/busybox.tar" -o "$work/busybox.tar.zst"
bzip2 -k "$work/busybox.tar"
xz -k "$work/busybox.tar"
for suffix in tar tar.gz tar.zst tar.bz2 tar.xz; do
  check "import of $suffix" "$image" import "$work/busybox.$suffix" "busybox:$suffix"
done
check "import from standard input" "$image" import - busybox:stdin <"$work/busybox.tar.gz"
check "all have the same root" equal 1 "$(find "$BULKHEAD_STATE_DIR/roots" -name '*.ext4' | wc -l)"
check "load from standard input" "$image" load -q <"$work/oci.tar"

# --- what fails leaves nothing ------------------------------------------------------------------

"$image" rm -f busybox:tar busybox:tar.gz busybox:tar.zst busybox:tar.bz2 busybox:tar.xz busybox:stdin localhost/oci:one >/dev/null
head -c 300000 "$work/oci.tar" >"$work/cut.tar"
check "a truncated archive" fails_with "cut.tar" "$image" load -i "$work/cut.tar"
check "a plain tar" fails_with "image import" "$image" load -i "$work/busybox.tar"
check "no archive" fails_with "absent.tar" "$image" load -i "$work/absent.tar"
check "nothing is left" nothing_left

# Killed in the middle: the pipe stays open until it is dead.
mkfifo "$work/pipe"
"$image" load -q <"$work/pipe" &
killed=$!
exec 7>"$work/pipe"
head -c 200000 "$work/oci.tar" >&7
for _ in $(seq 100); do
  find "$BULKHEAD_STATE_DIR/content/ingest" -name 'blob-*' | grep -q . && break
  sleep 0.1
done
kill -9 $killed
wait $killed 2>/dev/null || true
exec 7>&-
check "the next one succeeds" "$image" load -q -i "$work/oci.tar"
check "and clears what the killed one left" no_ingest_left

# Two at once.
"$image" rm -f localhost/oci:one >/dev/null
"$image" load -q -i "$work/oci.tar" &
first=$!
check "two at once" "$image" load -q -i "$work/docker.tar"
check "both succeed" wait $first
check "with one root" equal 1 "$(find "$BULKHEAD_STATE_DIR/roots" -name '*.ext4' | wc -l)"

# A full disk and one that is read-only.
mkdir "$work/small"
mount -t tmpfs -o size=2m tmpfs "$work/small"
BULKHEAD_STATE_DIR=$work/small/state
check "a full disk" fails_with "No space left" "$image" load -q -i "$work/oci.tar"
check "leaves nothing" nothing_left
mount -o remount,size=64m "$work/small"
check "with room it succeeds" "$image" load -q -i "$work/oci.tar"
mount -o remount,ro "$work/small"
check "a read-only store" fails_with "read-only file system" "$image" load -q -i "$work/docker.tar"
umount "$work/small"

echo "all passed"
