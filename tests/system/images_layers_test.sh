#!/usr/bin/env bash
# Images that share layers: a second pull transfers and inflates only what is new, and its root is the one
# that inflating makes. In a network namespace of its own: run through tests/cli/lib/in-own-network.
set -euo pipefail

. "$(dirname "$0")/lib/images.bash"
rounds=${BULKHEAD_TEST_ROUNDS:-15}

PATH=$PATH:/usr/sbin
[ "$(id -u)" -eq 0 ] || skip "must run as root"
for tool in docker-registry skopeo umoci debugfs e2fsck jq busybox python3; do
  command -v "$tool" >/dev/null || skip "$tool is absent"
done

work=$(mktemp -d /tmp/bh-XXXXXX)
registry=
trap '[ -z "$registry" ] || kill $registry; rm -rf "$work"' EXIT
export BULKHEAD_STATE_DIR=$work/state BULKHEAD_RUN_DIR=$work/run TMPDIR=$work

# --- images: one and two begin with the same layer, three has it in the middle ---------------------

"$project_dir/scripts/make-busybox-image" "$work/busybox.tar"
mkdir -p "$work/base/many" "$work/base/bin" "$work/base/tmp"
tar -C "$work/base" -xf "$work/busybox.tar"
head -c 15000000 /dev/urandom | base64 >"$work/base/big"
echo old >"$work/base/replaced"
truncate -s 5M "$work/base/sparse"
ln "$work/base/big" "$work/base/hard"
ln -s big "$work/base/soft"
chmod 4755 "$work/base/replaced"
for number in $(seq 2000); do
  echo "$number" >"$work/base/many/$number"
done
for name in one two three; do
  mkdir "$work/$name"
  head -c 300000 /dev/urandom | base64 >"$work/$name/own"
done
echo new >"$work/two/replaced"

layout=$work/layout
umoci init --layout "$layout"
umoci new --image "$layout:base"
insert() { umoci insert --image "$layout:$1" --tag "$2" "${@:3}" >/dev/null 2>&1; }
insert base base "$work/base" /
insert base one "$work/one" /
insert one one --whiteout /big # what two takes of the base was deleted in the root that it comes from
insert base two "$work/two" /
umoci new --image "$layout:third"
insert third third "$work/three" /
python3 - "$layout" <<'PYTHON'
# "three": the layer of "third", then those of "two".
import hashlib, json, sys
layout = sys.argv[1]
def read(digest):
    return json.load(open(f"{layout}/blobs/sha256/{digest[7:]}"))
def write(document, media_type):
    content = json.dumps(document).encode()
    digest = hashlib.sha256(content).hexdigest()
    open(f"{layout}/blobs/sha256/{digest}", "wb").write(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}
index = json.load(open(f"{layout}/index.json"))
named = {one["annotations"]["org.opencontainers.image.ref.name"]: read(one["digest"]) for one in index["manifests"]}
manifest, config = named["third"], read(named["third"]["config"]["digest"])
manifest["layers"] += named["two"]["layers"]
config["rootfs"]["diff_ids"] += read(named["two"]["config"]["digest"])["rootfs"]["diff_ids"]
config.pop("history", None)
manifest["config"] = write(config, "application/vnd.oci.image.config.v1+json")
entry = write(manifest, "application/vnd.oci.image.manifest.v1+json")
entry["annotations"] = {"org.opencontainers.image.ref.name": "three"}
index["manifests"].append(entry)
json.dump(index, open(f"{layout}/index.json", "w"))
PYTHON

cat >"$work/registry.yml" <<CONFIG
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: 127.0.0.1:5000}
CONFIG
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
for name in one two three; do
  for _ in $(seq 50); do
    skopeo copy -q --dest-tls-verify=false "oci:$layout:$name" "docker://127.0.0.1:5000/$name:1" 2>/dev/null && break
    sleep 0.1
  done
done

layers() { skopeo inspect --raw "oci:$layout:$1" | jq -r '.layers[].digest'; }
short() { echo "${1:7:12}"; }
base=$(layers one | head -1)
own_two=$(layers two | tail -1)
own_three=$(layers three | head -1)
check "all share the base" [ "$base $base" = "$(layers two | head -1) $(layers three | sed -n 2p)" ]

pull() { "$image" pull --progress plain --insecure "127.0.0.1:5000/$1:1" 2>&1; }
blob() { echo "$BULKHEAD_STATE_DIR/content/blobs/sha256/${1#sha256:}"; }
transfers() { grep -c "GET /v2/$1/blobs/$2" "$work/registry.log" || true; }

# expect_pull IMAGE SAID…: pulls, and these are the lines about layers, in any order
expect_pull() {
  local name=$1
  shift
  pull "$name" >"$work/said" || {
    cat "$work/said" >&2
    return 1
  }
  equal "$(printf '%s\n' "$@" | sort)" "$(grep -oE '^[0-9a-f]{12}: (already there|unpacking)' "$work/said" | sort)"
}

# --- what is shared is neither transferred nor inflated ---------------------------------------------

check "the first pull" pull one
# Whoever reads the blob of the base from now on finds garbage.
cp "$(blob "$base")" "$work/base.blob"
echo garbage >"$(blob "$base")"
check "a second image inflates its own layer only" expect_pull two \
  "$(short "$base"): already there" "$(short "$own_two"): unpacking"
check "its base was not transferred" equal 0 "$(transfers two "$base")"
check "its own layer was" equal 1 "$(transfers two "$own_two")"
check "a third image, with the base in its middle" expect_pull three \
  "$(short "$own_three"): unpacking" "$(short "$base"): already there" "$(short "$own_two"): already there"
check "its shared layers were not transferred" equal "0 0" "$(transfers three "$base") $(transfers three "$own_two")"
cp "$work/base.blob" "$(blob "$base")"

# --- the roots are those that inflating makes ---------------------------------------------------------

check "verify makes each root again from the blobs, and finds them the same" "$image" verify
root_of() { "$image" inspect "127.0.0.1:5000/$1:1" | jq -r '.[0].Root'; }
tree() { # rdump drops set-uid bits
  (cd "$1" && find . -mindepth 1 ! -name lost+found -printf '%P %y %m %U:%G %l\n') |
    sed -E 's/ [0-7]([0-7]{3}) ([0-9]+:)/ \1 \2/' | sort
}
for name in one two three; do
  umoci unpack --image "$layout:$name" "$work/bundle-$name" >/dev/null 2>&1
  root=$(root_of $name)
  check "$name: e2fsck finds nothing" e2fsck -fn "$root"
  mkdir "$work/dump-$name"
  debugfs -R "rdump / $work/dump-$name" "$root" >/dev/null 2>&1
  tree "$work/bundle-$name/rootfs" >"$work/expected"
  tree "$work/dump-$name" >"$work/actual"
  check "$name: the tree is umoci's" diff "$work/expected" "$work/actual"
  check "$name: and so are the contents" diff -r --no-dereference "$work/bundle-$name/rootfs" "$work/dump-$name"
done
check "set-uid bits are there" sh -c "debugfs -R 'stat /replaced' '$(root_of one)' 2>/dev/null | grep -q 'Mode: *04755'"

# --- archives, too ------------------------------------------------------------------------------------

"$image" rm 127.0.0.1:5000/two:1 127.0.0.1:5000/three:1 >/dev/null
skopeo copy -q "oci:$layout:two" "docker-archive:$work/two.tar:localhost/two:1"
diff_id() { skopeo inspect --config --raw "oci:$layout:$1" | jq -r ".rootfs.diff_ids[$2]"; }
"$image" load --progress plain -i "$work/two.tar" >"$work/said" 2>&1
check "a docker-archive's layers are known by their diff ids" grep -q "^$(short "$(diff_id two 0)"): already there" "$work/said"
check "and the store verifies" "$image" verify
"$image" rm localhost/two:1 >/dev/null

# --- a record that is of no use -----------------------------------------------------------------------

record=$(root_of one)
record=${record%.ext4}.layers
cp "$record" "$work/good"
size=$(stat -c %s "$record")
inflates() { # IMAGE DIGEST
  pull "$1" >"$work/said" && grep -q "^$(short "$2"): unpacking" "$work/said"
}
for at in 3 70 $((size / 2)) $((size - 100)); do # the header, the entries, the table
  cp "$work/good" "$record"
  printf '\377' | dd of="$record" bs=1 seek="$at" conv=notrunc status=none
  check "byte $at of the record is wrong: the layer is inflated" inflates two "$base"
  "$image" rm 127.0.0.1:5000/two:1 >/dev/null
done
rm "$record"
check "the record is gone: the layer is inflated" inflates two "$base"
cp "$work/good" "$record"
check "the store verifies" "$image" verify
"$image" rm 127.0.0.1:5000/two:1 >/dev/null

# --- kill -9 in the middle of it ------------------------------------------------------------------------

RANDOM=${BULKHEAD_TEST_SEED:=$((BASHPID % 32768))}
echo "BULKHEAD_TEST_SEED=$BULKHEAD_TEST_SEED"
for round in $(seq "$rounds"); do
  "$image" pull -q --insecure 127.0.0.1:5000/three:1 >/dev/null 2>&1 &
  killed=$!
  sleep "0.$(printf %03d $((RANDOM % 120)))"
  kill -9 $killed 2>/dev/null || true
  wait $killed 2>/dev/null || true
  "$image" verify >"$work/said" || {
    echo "FAILED: round $round:" >&2
    cat "$work/said" >&2
    exit 1
  }
  pull three >/dev/null
  equal "" "$(ls "$BULKHEAD_STATE_DIR/content/ingest")"
  "$image" rm 127.0.0.1:5000/three:1 >/dev/null
done
check "the store verifies after all that" "$image" verify
check "one root is left, and its record" equal 2 "$(find "$BULKHEAD_STATE_DIR/roots" -type f | wc -l)"
"$image" rm 127.0.0.1:5000/one:1 >/dev/null
check "nothing is left" equal "" "$(find "$BULKHEAD_STATE_DIR" -type f ! -name 'images.db*' ! -path '*/content/lock')"

echo "all passed: $rounds rounds"
