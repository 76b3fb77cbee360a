#!/usr/bin/env bash
# bulkhead-image against docker-registry, with and without TLS and passwords; skopeo checks what was
# pushed. In a network namespace of its own: run through tests/cli/lib/in-own-network.
set -euo pipefail

. "$(dirname "$0")/lib/images.bash"

[ "$(id -u)" -eq 0 ] || skip "must run as root"
for tool in docker-registry skopeo umoci jq openssl python3 curl busybox; do
  command -v "$tool" >/dev/null || skip "$tool is absent"
done

work=$(mktemp -d /tmp/bh-XXXXXX)
pids=()
cleanup() {
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
unset XDG_RUNTIME_DIR XDG_CONFIG_HOME DOCKER_CONFIG REGISTRY_AUTH_FILE
export BULKHEAD_STATE_DIR=$work/state BULKHEAD_RUN_DIR=$work/run TMPDIR=$work HOME=$work/home
export BULKHEAD_CERTS_DIR=$work/certs.d REGISTRY_LOG_LEVEL=error
mkdir -p "$HOME" "$BULKHEAD_CERTS_DIR"

nothing_sent() { ! grep -q sending "$work/last"; }

# fails_with TEXT COMMAND…: exit status 1, standard error holds the text
fails_with() {
  local text=$1 status=0
  shift
  "$@" >"$work/out" 2>"$work/err" || status=$?
  if [ "$status" -ne 1 ] || ! grep -qF -- "$text" "$work/err"; then
    echo "status $status, standard error:" >&2
    cat "$work/err" >&2
    return 1
  fi
}

wait_for() { # URL
  for _ in $(seq 200); do
    curl -sk -o /dev/null "$1" && return
    sleep 0.1
  done
  echo "$1 does not answer" >&2
  exit 1
}

forget() { "$image" rm -f "$@" >/dev/null; }

# --- registries and an image --------------------------------------------------------------------

# serve NAME PORT [YAML…]
serve() {
  local name=$1 port=$2
  shift 2
  {
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: %s}}\n' \
      "$work/registry-$name" "${deletes:-true}"
    printf 'http: {addr: "127.0.0.1:%s"%s}\n' "$port" "${tls:+, tls: {certificate: $work/server.pem, key: $work/server.key$client_ca\}}"
    printf '%s\n' "$@"
  } >"$work/$name.yml"
  docker-registry serve "$work/$name.yml" >"$work/$name.log" 2>&1 &
  pids+=($!)
}

cd "$work"
openssl req -quiet -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=authority \
  -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE 2>/dev/null ||
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=authority \
    -keyout ca.key -out ca.pem 2>/dev/null
certificate() { # NAME DAYS ALTERNATIVE-NAMES SIGNER-OPTION…
  local name=$1 days=$2
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
    -keyout "$name.key" -out "$name.csr" 2>/dev/null
  printf 'subjectAltName=%s\n' "$3" >"$name.ext"
  shift 3
  openssl x509 -req -in "$name.csr" -days "$days" -extfile "$name.ext" -out "$name.pem" "$@" 2>/dev/null
}
by_ca=(-CA ca.pem -CAkey ca.key -CAcreateserial)
for name in server client; do
  certificate $name 1 IP:127.0.0.1,DNS:registry.test,DNS:localhost "${by_ca[@]}"
done
certificate expired -1 IP:127.0.0.1 "${by_ca[@]}"
certificate other-host 1 DNS:registry.test "${by_ca[@]}"
certificate self-signed 1 IP:127.0.0.1 -signkey self-signed.key
python3 -W ignore -c 'import crypt; print("user:" + crypt.crypt("pass:word", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' >htpasswd

client_ca=
tls= serve plain 5000
tls=1 serve tls 5001
tls=1 serve auth 5002 "auth: {htpasswd: {realm: test, path: $work/htpasswd}}"
tls=1 client_ca=", clientcas: [$work/ca.pem]" serve mutual 5003
tls= deletes=false serve kept 5004
for url in http://127.0.0.1:5000 https://127.0.0.1:5001 https://127.0.0.1:5002 http://127.0.0.1:5004; do
  wait_for $url/v2/
done

"$project_dir/scripts/make-busybox-image" busybox.tar
mkdir root
tar -C root -xf busybox.tar
umoci init --layout layout
umoci new --image layout:one
umoci insert --image layout:one root / >/dev/null 2>&1
head -c 3000000 /dev/urandom >random
umoci insert --image layout:one random /random >/dev/null 2>&1
umoci gc --layout layout >/dev/null 2>&1
skopeo copy -q --dest-tls-verify=false oci:layout:one docker://127.0.0.1:5000/team/one:1
skopeo copy -q --dest-tls-verify=false --dest-creds user:pass:word oci:layout:one docker://127.0.0.1:5002/team/one:1
skopeo copy -q --dest-tls-verify=false oci:layout:one docker://127.0.0.1:5004/kept/one:1
digest=sha256:$(skopeo inspect --raw oci:layout:one | sha256)

# --- TLS ----------------------------------------------------------------------------------------

check "over http on loopback" "$image" pull -q 127.0.0.1:5000/team/one:1
check "the digest is skopeo's" equal "$digest" "$(field 127.0.0.1:5000/team/one:1 digest)"
forget 127.0.0.1:5000/team/one:1
check "an unknown authority is refused" fails_with "certificate" "$image" pull 127.0.0.1:5001/team/one:1
check "SSL_CERT_FILE adds one" fails_with "not found" env SSL_CERT_FILE="$work/ca.pem" "$image" pull 127.0.0.1:5001/team/one:1
# What other clients of registries do not look at.
for variable in CURL_CA_BUNDLE REQUESTS_CA_BUNDLE; do
  check "$variable is none of skopeo's" fails_with "certificate" env $variable="$work/ca.pem" skopeo inspect docker://127.0.0.1:5001/team/one:1
  check "nor of ours" fails_with "certificate" env $variable="$work/ca.pem" "$image" pull 127.0.0.1:5001/team/one:1
done
check "--insecure does not look" fails_with "not found" "$image" pull --insecure 127.0.0.1:5001/team/one:1
mkdir -p certs.d/127.0.0.1:5001 certs.d/127.0.0.1:5002 certs.d/127.0.0.1:5003
cp ca.pem certs.d/127.0.0.1:5001/ca.crt
check "docker's directory of certificates" fails_with "not found" "$image" pull 127.0.0.1:5001/team/one:1
printf 'ca = "%s"\n' "$work/ca.pem" >certs.d/127.0.0.1:5002/hosts.toml
printf 'ca = "%s"\n' "$work/ca.pem" >certs.d/127.0.0.1:5003/hosts.toml
check "a client certificate is asked for" fails_with "127.0.0.1:5003" "$image" pull 127.0.0.1:5003/team/one:1
printf 'client = [["%s", "%s"]]\n' "$work/client.pem" "$work/client.key" >>certs.d/127.0.0.1:5003/hosts.toml
check "and shown" fails_with "not found" "$image" pull 127.0.0.1:5003/team/one:1

# --- logging in ---------------------------------------------------------------------------------

check "no password: refused" fails_with "bulkhead login 127.0.0.1:5002" "$image" pull 127.0.0.1:5002/team/one:1
check "a wrong one is not kept" fails_with "refuses" "$image" login -u user --password-stdin 127.0.0.1:5002 <<<wrong
check "no file was made" test ! -e "$HOME/.docker/config.json"
check "a registry is a host" fails_with "host name" "$image" login -u user --password-stdin ../x <<<x
check "a user name is needed" fails_with "username" "$image" login --password-stdin 127.0.0.1:5002 <<<x
check "no terminal, no question" fails_with "--password-stdin" "$image" login 127.0.0.1:5002 </dev/null
check "a pipeline's password in the environment" env CONTAINER_REGISTRY_HOST=127.0.0.1:5002 CONTAINER_REGISTRY_USER=user \
  CONTAINER_REGISTRY_TOKEN=pass:word "$image" pull -q 127.0.0.1:5002/team/one:1
check "which is kept nowhere" fails_with "bulkhead login" "$image" registry tags 127.0.0.1:5002/team/one
"$image" rm 127.0.0.1:5002/team/one:1 >/dev/null
check "login" "$image" login -u user --password-stdin 127.0.0.1:5002 <<<"pass:word"
check "only its owner reads the file" equal 600 "$(stat -c %a "$HOME/.docker/config.json")"
check "it is docker's" equal "$(printf user:pass:word | base64)" \
  "$(jq -r '.auths["127.0.0.1:5002"].auth' "$HOME/.docker/config.json")"
check "the list has it" equal "127.0.0.1:5002 user" \
  "$("$image" registry list --format json | jq -r '.[] | "\(.registry) \(.username)"')"
check "with it the pull goes" "$image" pull -q 127.0.0.1:5002/team/one:1
forget 127.0.0.1:5002/team/one:1
check "logout" "$image" logout 127.0.0.1:5002
login_by_terminal() { # KEYS: typed after both questions; what is seen is printed
  python3 - "$image" "$1" <<'P'
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "login", "127.0.0.1:5002"])
seen = b""
def expect(text):
    global seen
    while text not in seen:
        seen += os.read(terminal, 4096)
expect(b"Username: ")
os.write(terminal, b"nobody\x15usex\x7fr\r")
expect(b"Password: ")
os.write(terminal, sys.argv[2].encode())
try:
    while data := os.read(terminal, 4096):
        seen += data
except OSError:
    pass
print(seen.decode(), file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
P
}
check "login by the terminal, with corrections" login_by_terminal $'pasx\x7fs:word\r'
no_password_seen() { ! grep -q "pas" last; }
check "the password is not shown" no_password_seen
check "an interrupt there" fails_with "cancelled" login_by_terminal $'pas\x03'
check "logs nobody out" "$image" logout 127.0.0.1:5002
check "twice is fine" "$image" logout 127.0.0.1:5002
check "and says so" grep -q "Not logged in" last
check "and it is gone" fails_with "bulkhead login" "$image" pull 127.0.0.1:5002/team/one:1
skopeo login --tls-verify=false -u user -p pass:word --authfile auth.json 127.0.0.1:5002 >/dev/null
check "podman's file is read too" env REGISTRY_AUTH_FILE="$work/auth.json" "$image" pull -q 127.0.0.1:5002/team/one:1
check "and written" env REGISTRY_AUTH_FILE="$work/auth.json" "$image" registry logout 127.0.0.1:5002
check "so that skopeo misses it" fails_with "not logged in" skopeo login --get-login --authfile auth.json 127.0.0.1:5002
forget 127.0.0.1:5002/team/one:1

# --- pushing ------------------------------------------------------------------------------------

# remote_digest REFERENCE [SKOPEO-OPTION…]
remote_digest() {
  local reference=$1
  shift
  echo "sha256:$(skopeo inspect --raw --tls-verify=false "$@" "docker://$reference" | sha256)"
}

"$image" pull -q 127.0.0.1:5000/team/one:1 >/dev/null
check "push to the same registry" "$image" push 127.0.0.1:5000/team/one:1 127.0.0.1:5000/team/two:a
check "nothing was sent, all was mounted" nothing_sent
check "the digest stays" equal "$digest" "$(remote_digest 127.0.0.1:5000/team/two:a)"
check "no password: no push" fails_with "bulkhead login" "$image" push 127.0.0.1:5000/team/one:1 127.0.0.1:5002/own/one:b
"$image" login -u user --password-stdin 127.0.0.1:5002 <<<"pass:word" >/dev/null
check "push over TLS with a password" "$image" push 127.0.0.1:5000/team/one:1 127.0.0.1:5002/own/one:b
check "its blobs were sent" grep -q sending last
check "the digest stays there too" equal "$digest" "$(remote_digest 127.0.0.1:5002/own/one:b --creds user:pass:word)"
check "again: all is there" "$image" push 127.0.0.1:5000/team/one:1 127.0.0.1:5002/own/one:c
check "and nothing is sent" nothing_sent
check "in pieces" "$image" push -q --chunk-size 1m 127.0.0.1:5000/team/one:1 127.0.0.1:5001/pieces/one:1
check "the same digest" equal "$digest" "$(remote_digest 127.0.0.1:5001/pieces/one:1)"
check "skopeo takes it" skopeo copy -q --src-tls-verify=false docker://127.0.0.1:5001/pieces/one:1 oci:copied:one
check "and it is what was made" equal "$digest" "sha256:$(skopeo inspect --raw oci:copied:one | sha256)"
check "by digest" "$image" push -q 127.0.0.1:5000/team/one:1 "127.0.0.1:5000/team/three@$digest"
check "but not by another" fails_with "its digest is" "$image" push 127.0.0.1:5000/team/one:1 \
  "127.0.0.1:5000/team/three@sha256:$(printf '0%.0s' {1..64})"
check "an absent image" fails_with "not found" "$image" push 127.0.0.1:5000/absent:1
"$image" tag 127.0.0.1:5000/team/one:1 127.0.0.1:5000/team/all:b 127.0.0.1:5000/team/all:a
check "all tags of a repository" "$image" push -q --all-tags --max-concurrent-uploads 1 127.0.0.1:5000/team/all 127.0.0.1:5001/every/tag
check "are there" equal '["a","b"]' \
  "$(skopeo list-tags --tls-verify=false docker://127.0.0.1:5001/every/tag | jq -c '.Tags | sort')"
check "which takes no tag" fails_with "without a tag" "$image" push --all-tags 127.0.0.1:5000/team/all:a
check "nor nothing" fails_with "no tag of" "$image" push --all-tags 127.0.0.1:5000/team/none
forget 127.0.0.1:5000/team/all:a 127.0.0.1:5000/team/all:b
if command -v podman >/dev/null; then
  their_store=(--root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs)
  check "podman pulls it" podman "${their_store[@]}" pull -q --tls-verify=false 127.0.0.1:5000/team/two:a
  for format in oci v2s2; do
    check "podman pushes it as $format" podman "${their_store[@]}" push -q --tls-verify=false --format $format \
      127.0.0.1:5000/team/two:a 127.0.0.1:5000/podman/$format:1
    check "which is pulled" "$image" pull -q 127.0.0.1:5000/podman/$format:1
    check "with podman's digest" equal "$(remote_digest 127.0.0.1:5000/podman/$format:1)" "$(field 127.0.0.1:5000/podman/$format:1 digest)"
    check "podman saves it as an archive" podman "${their_store[@]}" save -q --format "${format/v2s2/docker}-archive" -o "podman-$format.tar" \
      127.0.0.1:5000/team/two:a
    check "which is loaded" "$image" load -q -i "podman-$format.tar"
    check "with the same id" equal "sha256:$(podman "${their_store[@]}" image inspect 127.0.0.1:5000/team/two:a | jq -r '.[0].Id')" \
      "$(field 127.0.0.1:5000/team/two:a id)"
    forget 127.0.0.1:5000/podman/$format:1 127.0.0.1:5000/team/two:a
  done
fi
if command -v buildah >/dev/null; then
  # Without a file of what is run, nothing of a container is needed.
  built() { buildah --root "$work/buildah" --runroot "$work/buildah-run" --storage-driver vfs "$@"; }
  check "buildah begins an image" built from --name work scratch
  check "copies into it" built copy work root /
  check "says what it runs" built config --cmd '["/bin/busybox","echo","built"]' --env A=b --label l=m work
  for format in oci docker; do
    check "makes it, as $format" built commit -q --format $format work 127.0.0.1:5000/built/$format:1
    check "and pushes it" built push -q --tls-verify=false 127.0.0.1:5000/built/$format:1
    check "a pull of it" "$image" pull -q 127.0.0.1:5000/built/$format:1
    check "gives its digest" equal "$(remote_digest 127.0.0.1:5000/built/$format:1)" "$(field 127.0.0.1:5000/built/$format:1 digest)"
    check "and its id" equal "sha256:$(built inspect --type image 127.0.0.1:5000/built/$format:1 | jq -r .FromImageID)" \
      "$(field 127.0.0.1:5000/built/$format:1 id)"
    check "and what it runs" equal '["/bin/busybox","echo","built"] A=b m' \
      "$("$image" inspect 127.0.0.1:5000/built/$format:1 | jq -r '.[0].Config | "\(.Cmd | tojson) \(.Env[-1]) \(.Labels.l)"')"
    check "which goes out again" "$image" push -q 127.0.0.1:5000/built/$format:1 127.0.0.1:5001/built/$format:1
    check "as it came" equal "$(remote_digest 127.0.0.1:5000/built/$format:1)" "$(remote_digest 127.0.0.1:5001/built/$format:1)"
    forget 127.0.0.1:5000/built/$format:1
  done
fi

# An index: whole when all of it is here, else the platform that is.
umoci tag --image layout:one arm
umoci config --image layout:arm --architecture arm64
skopeo copy -q --dest-tls-verify=false oci:layout:arm docker://127.0.0.1:5000/team/multi:arm
skopeo copy -q --dest-tls-verify=false oci:layout:one docker://127.0.0.1:5000/team/multi:amd
entry() { # TAG ARCHITECTURE
  skopeo inspect --raw "oci:layout:$1" >raw
  printf '{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"platform":{"os":"linux","architecture":"%s"}}' \
    "$(sha256 <raw)" "$(wc -c <raw)" "$2"
}
put_index() { # TAG ENTRIES
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$2" |
    curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary @- \
      "http://127.0.0.1:5000/v2/team/multi/manifests/$1"
}
put_index both "$(entry one amd64),$(entry arm arm64)"
put_index single "$(entry one amd64)"
"$image" pull -q 127.0.0.1:5000/team/multi:single >/dev/null
check "an index that is here goes whole" "$image" push -q 127.0.0.1:5000/team/multi:single 127.0.0.1:5001/whole:1
check "with its digest" equal "$(remote_digest 127.0.0.1:5000/team/multi:single)" "$(remote_digest 127.0.0.1:5001/whole:1)"
"$image" pull -q 127.0.0.1:5000/team/multi:both >/dev/null
check "of one that is here in part" "$image" push -q 127.0.0.1:5000/team/multi:both 127.0.0.1:5001/part:1
check "the manifest goes" equal "$digest" "$(remote_digest 127.0.0.1:5001/part:1)"
check "a platform that is not here" fails_with "linux/arm64" "$image" push --platform arm64 127.0.0.1:5000/team/multi:both \
  127.0.0.1:5001/part:2

check "a platform that a single manifest is not for" fails_with "linux/arm64" "$image" push --platform arm64 \
  127.0.0.1:5000/team/one:1 127.0.0.1:5001/part:2

# What goes is the same, to the byte, for save and push: the attestation of a part goes with it.
attestation() { # ARCHITECTURE
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[]}' \
    "$(skopeo inspect --raw oci:layout:one | jq -c .config)" >about
  printf '{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s' \
    "$(sha256 <about)" "$(wc -c <about)"
  printf ',"platform":{"os":"unknown","architecture":"unknown"},"annotations":{"vnd.docker.reference.digest":"%s"}}' \
    "$(jq -r .digest <<<"$(entry "$1" "$1")")"
}
about_one=$(attestation one)
curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @about \
  http://127.0.0.1:5000/v2/team/multi/manifests/about
put_index attested "$about_one,$(entry arm arm64),$(entry one amd64)"
attested=127.0.0.1:5000/team/multi:attested
goes_alike() { # ENTRIES OPTION…: saved and pushed it has that many entries, and one digest
  local entries=$1 saved
  shift
  rm -f out.oci
  "$image" save "$@" -o out.oci $attested && "$image" push -q "$@" $attested 127.0.0.1:5001/alike:1 || return
  saved=sha256:$(skopeo inspect --raw oci-archive:out.oci | sha256)
  equal "$saved" "$(remote_digest 127.0.0.1:5001/alike:1)" &&
    equal "$entries" "$(skopeo inspect --raw oci-archive:out.oci | jq '.manifests | length')"
}
"$image" pull -q $attested >/dev/null
check "one platform with its attestation" goes_alike 2
check "the same by name" goes_alike 2 --platform amd64
check "and as all that are here" goes_alike 2 --all-platforms
"$image" pull -q --all-platforms $attested >/dev/null
platforms_of() { # REFERENCE: as the long list has them
  "$image" list -v --format json | jq -r --arg reference "$1" '.[] | select(.reference == $reference) | "\(.platform) \(.unpacked)"'
}
check "the long list has both" equal $'linux/amd64 true\nlinux/arm64 false' "$(platforms_of $attested)"
check "as lines" "$image" ls -v
check "that say which runs" grep -q "^127.0.0.1:5000/team/multi *attested .* linux/arm64 .* image, not unpacked$" last
check "all of it" goes_alike 3
check "as it came" equal "$(remote_digest $attested)" "$(remote_digest 127.0.0.1:5001/alike:1)"
check "a part by name" goes_alike 2 --platform amd64
check "one without attestation is a manifest" goes_alike 0 --platform arm64
check "by its processor" goes_alike 0 --arch arm64 --os linux
check "as which a platform has priority" goes_alike 2 --arch arm64 --platform amd64
check "both, whatever their order" goes_alike 3 --platform arm64,amd64
check "are all of it, as it came" equal "$(remote_digest $attested)" "$(remote_digest 127.0.0.1:5001/alike:1)"
check "skopeo copies all of that" skopeo copy -q --all --src-tls-verify=false docker://127.0.0.1:5001/alike:1 dir:alike

platform_by() { # COMMAND…: pulls, which platform is the one to run
  "$@" "$image" pull -q "${options[@]}" 127.0.0.1:5000/team/multi:both >/dev/null && field 127.0.0.1:5000/team/multi:both platform
}
options=(--arch aarch64)
check "a pull for another processor" equal linux/arm64 "$(platform_by env)"
options=()
check "a pull for the platform of the environment" equal linux/arm64 "$(platform_by env CONTAINER_DEFAULT_PLATFORM=linux/arm64)"
options=(--arch amd64)
check "which options outdo" equal linux/amd64 "$(platform_by env CONTAINER_DEFAULT_PLATFORM=linux/arm64)"

# --- progress -----------------------------------------------------------------------------------

on_terminal=$project_dir/tests/system/lib/on-terminal
fetches() { # OPTION…: what it shows is in shown
  forget 127.0.0.1:5000/team/one:1
  "${terminal[@]}" "$image" pull "$@" 127.0.0.1:5000/team/one:1 >shown 2>&1
}
sends() { # OPTION…: to where none of it is
  "${terminal[@]}" "$image" push "$@" 127.0.0.1:5000/team/one:1 "127.0.0.1:5001/progress$((++sent)):1" >shown 2>&1
}
sent=0
has() { grep -qF -- "$1" shown; }
has_not() { ! has "$1"; }
"$image" list -q | xargs -r "$image" rm -f >/dev/null
"$image" pull -q 127.0.0.1:5000/team/one:1 >/dev/null
unset NO_COLOR
export TERM=xterm
for way in "fetches unpacking" "sends sending"; do
  read -r go word <<<"$way"
  terminal=("$on_terminal" 100)
  check "$go: live lines on a terminal" $go
  check "that are drawn over" has $'\e[K'
  check "in colour" has $'\e[36m'
  check "with bytes" has " / "
  check "and end with what is done" has "done  "
  export NO_COLOR=1
  check "$go: without colour" $go
  check "has none" has_not $'\e[36m'
  check "but is live" has $'\e[K'
  unset NO_COLOR
  terminal=("$on_terminal" 30)
  check "$go: no line is wider than the terminal" $go
  check "$go: plain when asked" $go --progress plain
  check "has words" has ": $word "
  check "and no escape" has_not $'\e'
  export TERM=dumb
  check "$go: plain where the cursor cannot move" $go
  check "has no escape" has_not $'\e'
  export TERM=xterm
  check "$go: none when asked" $go --progress none
  check "says only what it ends with" equal 2 "$(wc -l <shown)"
  check "$go: quiet" $go -q
  check "says only one thing" equal 1 "$(wc -l <shown)"
  terminal=()
  check "$go: plain lines without a terminal" $go
  check "in words" has ": $word "
  check "without escapes" has_not $'\e'
  check "$go: live when asked" $go --progress tty
  check "is" has $'\e[K'
done

# --- no room ------------------------------------------------------------------------------------

check "all images are removed" "$image" delete --all
check "and are" equal "" "$("$image" list -q)"
mkdir small
on_small_disk() { # MOUNT-OPTIONS: a pull into a store there; what it leaves is in the file left
  unshare --mount bash -euc '
    mount -t tmpfs -o size=64m tmpfs small
    export BULKHEAD_STATE_DIR=$PWD/small/state
    "$0" list -q
    mount -o "remount,$1" small
    status=0
    "$0" pull 127.0.0.1:5000/team/one:1 || status=$?
    find "$BULKHEAD_STATE_DIR" -type f ! -name "images.db*" ! -path "*/content/lock" >left
    exit "$status"' "$image" "$1"
}
check "a disk that is full" fails_with "No space left" on_small_disk size=2m
check "is left as it was" equal "" "$(cat left)"
check "a store that is read-only" fails_with "read-only file system" on_small_disk ro
check "is left as it was" equal "" "$(cat left)"

# --- mirrors and proxies ------------------------------------------------------------------------

"$image" list -q | xargs -r "$image" rm -f >/dev/null
mkdir certs.d/registry.test
printf '[host."http://127.0.0.1:5000"]\n' >certs.d/registry.test/hosts.toml
check "a mirror answers for a registry that is not there" "$image" pull -q registry.test/team/one:1
check "with the same image" equal "$digest" "$(field registry.test/team/one:1 digest)"
check "but nothing is pushed to it" fails_with "registry.test" "$image" push registry.test/team/one:1
forget registry.test/team/one:1
printf 'ca = "%s"\n[host."https://127.0.0.1:5002"]\nca = "%s"\ncapabilities = ["pull", "resolve"]\n' \
  "$work/ca.pem" "$work/ca.pem" >certs.d/127.0.0.1:5001/hosts.toml
check "what a mirror does not have, the registry has" "$image" pull -q 127.0.0.1:5001/pieces/one:1
check "a mirror gets its own password" "$image" pull -q 127.0.0.1:5001/team/one:1
rm -r certs.d/registry.test
"$image" list -q | xargs -r "$image" rm -f >/dev/null

"$project_dir/tests/system/lib/forwarding-proxy" 5012 5000 5002 "$work/proxied" &
pids+=($!)
proxy=http://127.0.0.1:5012
until (exec 3<>/dev/tcp/127.0.0.1/5012) 2>/dev/null; do sleep 0.1; done
touch proxied
check "no proxy, no such host" fails_with "registry.test" "$image" pull --insecure registry.test/team/one:1
check "HTTP_PROXY" env HTTP_PROXY=$proxy "$image" pull -q --insecure registry.test/team/one:1
check "it went there" grep -q "^GET http://registry.test/v2/team/one/manifests/1 " proxied
forget registry.test/team/one:1
mkdir certs.d/registry.test
cp ca.pem certs.d/registry.test/ca.crt
"$image" registry list -q >/dev/null
check "https needs a password, through a tunnel" fails_with "bulkhead login registry.test" \
  env HTTPS_PROXY=$proxy "$image" pull registry.test/team/one:1
check "the proxy sees the host only" grep -qx "CONNECT registry.test:443 HTTP/1.1" proxied
login_by_proxy() { HTTPS_PROXY=$proxy "$image" login -u user --password-stdin registry.test <<<"pass:word"; }
check "login by it" login_by_proxy
check "pull by it" env https_proxy=$proxy "$image" pull -q registry.test/team/one:1
: >proxied
check "NO_PROXY" fails_with "registry.test" env HTTPS_PROXY=$proxy NO_PROXY=.test "$image" pull registry.test/team/one:1
check "loopback is never proxied" env HTTP_PROXY=$proxy HTTPS_PROXY=$proxy "$image" pull -q 127.0.0.1:5000/team/one:1
check "neither went there" equal "" "$(cat proxied)"

# --- lists, referrers, removing -----------------------------------------------------------------

tool=$build_dir/tests/registry_tool
registry() { "$image" registry "$@"; }
check "tags" registry tags 127.0.0.1:5000/team/multi
check "all of them" equal "about amd arm attested both single" "$(sort last | tr '\n' ' ' | sed 's/ $//')"
check "tags as JSON" registry list-tags --format json 127.0.0.1:5000/team/multi
check "are skopeo's" equal "$(skopeo list-tags --tls-verify=false docker://127.0.0.1:5000/team/multi | jq -c '.Tags | sort')" \
  "$(jq -c '.tags | sort' last)"
check "tags of nothing" fails_with "tags of 127.0.0.1:5000/team/absent: not found" registry tags 127.0.0.1:5000/team/absent
for number in $(seq 12); do
  skopeo copy -q --dest-tls-verify=false oci:layout:one "docker://127.0.0.1:5000/many/x$number:1"
done
check "the catalog" registry catalog --prefix many/ 127.0.0.1:5000
check "of all repositories that begin so" equal 12 "$(wc -l <last)"
check "the catalog behind a password" registry catalog --format json https://127.0.0.1:5002/
check "names its registry" equal "127.0.0.1:5002 own/one" "$(jq -r '"\(.registry) \(.repositories[0])"' last)"
check "a catalog needs a registry" fails_with "a host name" registry catalog alpine
# This registry has no API for referrers: the fallback tag is kept by whoever pushes.
printf '{}' >empty.json
empty=sha256:$(sha256 <empty.json)
location=$(curl -s -o /dev/null -X POST -D - http://127.0.0.1:5000/v2/team/one/blobs/uploads/ | tr -d '\r' | sed -n 's/^Location: //p')
curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary @empty.json "$location&digest=$empty"
for number in 1 2; do
  cat >artifact$number.json <<J
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/x.test",
"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"$empty","size":2},"layers":[],
"annotations":{"number":"$number"},
"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"$digest","size":$(skopeo inspect --raw oci:layout:one | wc -c)}}
J
  check "an artifact about an image" "$tool" put-manifest 127.0.0.1:5000/team/one artifact$number.json
done
both=$(for number in 1 2; do echo "sha256:$(sha256 <artifact$number.json) application/x.test"; done)
check "referrers" registry referrers 127.0.0.1:5000/team/one:1
check "are both" equal "$both" "$(tail -n +2 last | tr -s ' ' | cut -d' ' -f1,2)"
check "referrers by digest as JSON" registry referrers --format json "127.0.0.1:5000/team/one@$digest"
check "are both, with annotations" equal "$both 12" \
  "$(jq -r '.[] | "\(.digest) \(.artifactType)"' last) $(jq -j '.[].annotations.number' last)"
check "referrers of one type" registry referrers --format json --artifact-type application/x.other 127.0.0.1:5000/team/one:1
check "are none" equal "[]" "$(cat last)"
check "no referrers" registry referrers --format json 127.0.0.1:5000/team/two:a
check "is an empty list" equal "[]" "$(cat last)"
check "referrers of nothing" fails_with "not found" registry referrers 127.0.0.1:5000/team/one:absent
# Artifacts are kept, and go out as they came.
artifact=127.0.0.1:5000/team/one@sha256:$(sha256 <artifact1.json)
check "an artifact is pulled" "$image" pull -q "$artifact"
check "its id is that of its manifest" equal "sha256:$(sha256 <artifact1.json)" "$(cat last)"
check "the list says what it is" equal application/x.test "$(field "$artifact" artifact_type)"
check "the long list too" "$image" list -v
check "in a column" grep -q " application/x.test$" last
check "as inspect does" equal "application/x.test 1 $digest" \
  "$("$image" inspect "$artifact" | jq -r '.[0] | "\(.ArtifactType) \(.Annotations.number) \(.Subject)"')"
check "it is pushed" "$image" push -q "$artifact" 127.0.0.1:5001/team/one:about
check "and is the same" equal "${artifact#*@}" "$(remote_digest 127.0.0.1:5001/team/one:about)"
check "its subject is told of it" registry referrers --format json "127.0.0.1:5001/team/one@$digest"
check "with its type" equal "${artifact#*@} application/x.test" "$(jq -r '.[] | "\(.digest) \(.artifactType)"' last)"
rm -f out.oci
check "it is saved" "$image" save -o out.oci "$artifact"
check "as skopeo has it" equal "${artifact#*@}" "sha256:$(skopeo inspect --raw oci-archive:out.oci | sha256)"
check "but not as docker would" fails_with "artifact" "$image" save --format docker-archive -o out.tar "$artifact"
skopeo inspect --raw oci:layout:one | jq -c ".config.mediaType = \"application/vnd.cncf.helm.config.v1+json\" |
  .layers[].mediaType = \"application/vnd.cncf.helm.chart.content.v1.tar+gzip\"" >chart.json
"$tool" put-manifest 127.0.0.1:5000/team/one chart.json
check "a chart, with blobs" "$image" pull -q --platform linux/arm64 "127.0.0.1:5000/team/one@sha256:$(sha256 <chart.json)"
check "is what its config is" equal application/vnd.cncf.helm.config.v1+json \
  "$(field "127.0.0.1:5000/team/one@sha256:$(sha256 <chart.json)" artifact_type)"
check "the store is whole" "$image" verify
forget "$artifact" "127.0.0.1:5000/team/one@sha256:$(sha256 <chart.json)"

check "latest is not deleted unsaid" fails_with "which one?" registry delete 127.0.0.1:5000/many/x1
check "a tag alone, which docker's registry cannot" fails_with "registry delete 127.0.0.1:5000/many/x1@$digest" \
  registry delete 127.0.0.1:5000/many/x1:1
check "a manifest is deleted" registry delete "127.0.0.1:5000/many/x1@$digest" "127.0.0.1:5000/many/x2@$digest"
check "and is gone" fails_with "not found" "$image" pull 127.0.0.1:5000/many/x1:1
check "so is the second" fails_with "manifest unknown" skopeo inspect --tls-verify=false docker://127.0.0.1:5000/many/x2:1
check "once" fails_with "not found" registry rm "127.0.0.1:5000/many/x1@$digest"
check "an absent one" fails_with "not found" registry delete 127.0.0.1:5000/many/x3:absent
check "where nothing is deleted" fails_with "REGISTRY_STORAGE_DELETE_ENABLED" registry delete "127.0.0.1:5004/kept/one@$digest"
check "a blob is removed" "$tool" delete-blob 127.0.0.1:5000/team/one "$empty"
check "once" fails_with "not found" "$tool" delete-blob 127.0.0.1:5000/team/one "$empty"

# --- a registry that misbehaves -----------------------------------------------------------------

"$project_dir/tests/system/lib/faulty-registry" layout 5010 5011 "$work/requests" 5013 server.pem server.key \
  5014 server.pem server.key 5015 expired.pem expired.key 5016 other-host.pem other-host.key \
  5017 self-signed.pem self-signed.key &
pids+=($!)
wait_for http://127.0.0.1:5010/v2/
export BULKHEAD_REGISTRY_TIMEOUT=2
"$image" list -q | xargs -r "$image" rm -f >/dev/null
"$image" login -u user --password-stdin 127.0.0.1:5010 <<<secret >/dev/null

bad() { echo "127.0.0.1:5010/$1/one:1"; }
nothing_left() { # but the database and the lock
  equal "" "$(find "$BULKHEAD_STATE_DIR" -type f ! -name 'images.db*' ! -path '*/content/lock')"
}
arrives() { # FAULT: in the end it is all there
  "$image" pull -q "$(bad "$1")" && equal "$digest" "$(field "$(bad "$1")" digest)" && forget "$(bad "$1")"
}
# within SECONDS COMMAND…
within() {
  local begin=$SECONDS limit=$1
  shift
  "$@" || return
  [ $((SECONDS - begin)) -le "$limit" ] || {
    echo "took $((SECONDS - begin)) seconds" >&2
    return 1
  }
}
# never FAULT TEXT: fails in bounded time, saying TEXT, and leaves nothing
never() { within 120 fails_with "$2" "$image" pull "$(bad "$1")" && nothing_left; }

check "it serves an image" arrives fine
check "broken downloads go on where they broke" arrives drop
check "or from the beginning where there are no ranges" arrives no-range
check "or where they are refused" arrives refuse-range
check "or wrong" arrives wrong-range
check "layers that are not distributable come from the registry" "$image" pull -q "$(bad foreign)"
nothing_is_sent() { "$image" push -q "$(bad foreign)" "$(bad push-fine)" && ! grep "^5010 P[A-Z]* /v2/push-fine/one/blobs/.*${last_layer#*:}" requests; }
last_layer=$(skopeo inspect --raw oci:layout:one | jq -r '.layers[-1].digest')
check "but are not sent on" nothing_is_sent
forget "$(bad foreign)"
check "and from nowhere else where it has none" never foreign-absent "it is not distributable"
check "the message says which layer" grep -q "layer sha256:[0-9a-f]*: it is not distributable" err
nobody_was_asked() { ! grep -F /stolen/ requests; }
check "their URLs were not asked" nobody_was_asked
check "as many layers at once as was asked for" env BULKHEAD_REGISTRY_TIMEOUT=60 "$image" pull -q --max-concurrent-downloads 6 "$(bad gate)"
forget "$(bad gate)"
check "live lines on a terminal that becomes narrow on the way" "$project_dir/tests/system/lib/on-resized-terminal" 100 30 \
  http://127.0.0.1:5010/release "$image" pull "$(bad paced)"
forget "$(bad paced)"
check "a range with other bytes" never lie-range "does not match"
check "one byte a connection" never byte "remaining to read"
check "a part where all was asked for" never partial "a part where all was asked for"
check "fewer bytes than promised" never short "bytes instead of"
check "more bytes than promised" never long "bytes instead of"
check "no size announced" arrives chunked
check "and fewer bytes" never chunked-short "the answer ends"
check "and more bytes" never chunked-long "longer than"
check "an encoding nobody asked for" never encoded "an encoding that was not asked for"
check "a redirect to another host is followed" arrives redirect
check "with a token for the first only" arrives redirect-known
check "which had it" grep -q "^5010 GET /v2/redirect-known/one/blobs/.* Bearer known$" requests
check "a redirect to a file is not" never redirect-file "url"
check "redirects without end" never loop "more than 10 redirects"
check "a chain of a hundred" never redirect-chain "more than 10 redirects"
check "a stalled download goes on" arrives stall
check "a trickle does not count" never trickle "nothing came"
check "nor does what is no content" never flood "nothing came"
check "a registry that never answers" never silent "nothing came"
check "429 with a time to wait" arrives busy
check "429 with too long a time" within 10 never busy-long "try again in 3600 seconds"
check "503 that passes" arrives down
check "503 that stays" never down-for-good "answers 503"
check "connections reset" arrives reset
check "a manifest cut short" arrives cut
check "headers without end" never headers "headers of more than"
check "a manifest without end" never endless "answer of more than"
check "a token service that hangs" never hang "nothing came"
check "one that is busy for a moment" arrives token-busy
check "a token of 10 MiB" never big-token "answer of more than"
check "a challenge without end" never challenge "WWW-Authenticate: longer than"
# Each is good for one request: one layer at a time.
check "a token that ends is renewed" "$image" pull -q --max-concurrent-downloads 1 "$(bad expire)"
check "each time" grep -q "^5010 GET /v2/expire/one/blobs/.* Bearer expire-2$" requests
forget "$(bad expire)"
check "a token service without https elsewhere is not asked" never elsewhere "token service without https"
check "nor does a redirect's target get a password" never basic-elsewhere "refuses access"

# A token service that looks at everything: password, service, scopes, each once.
pulls_strictly() { "$image" pull -q "$(bad "$1")" && forget "$(bad "$1")"; }
tokens_of() { grep -c "^5010 $2 /token/strict/$1[ ?]" requests || true; } # FAULT METHOD
check "a strict token service" pulls_strictly strict
check "is asked once for many blobs" equal 1 "$(tokens_of strict GET)"
check "which were many" equal 13 "$(grep "^5010 GET /v2/strict/one/blobs/.* Bearer strict-1$" requests | sort -u | wc -l)"
check "a token that ends on the way" pulls_strictly strict-expire
check "is renewed once" equal 2 "$(tokens_of strict-expire GET)"
check "a token that is refused" never strict-useless "refuses access"
check "is not asked for again" equal 1 "$(tokens_of strict-useless GET)"
check "several scopes" pulls_strictly strict-scopes
check "are asked for one by one" grep -q "&scope=repository%3Ateam%2Fbase%3Apull " requests
"$image" pull -q "$(bad fine)" >/dev/null
check "a mount with a token for both repositories" "$image" push -q "$(bad fine)" "$(bad push-strict)"
check "sends no blob" equal "" "$(grep "PUT /v2/push-strict/one/blobs" requests)"
forget "$(bad fine)"
check "another password" fails_with "refuses user name and password" env CONTAINER_REGISTRY_HOST=127.0.0.1:5010 \
  CONTAINER_REGISTRY_USER=user CONTAINER_REGISTRY_TOKEN=other "$image" pull "$(bad strict)"
mkdir identity helpers
printf '{"auths":{"127.0.0.1:5010":{"identitytoken":"identity+token"}}}' >identity/config.json
check "an identity token of docker's file" env DOCKER_CONFIG="$work/identity" "$image" pull -q "$(bad strict)"
forget "$(bad strict)"
check "is posted, once" equal 1 "$(tokens_of strict POST)"
printf '{"credsStore":"fixed"}' >identity/config.json
cat >helpers/docker-credential-fixed <<'H'
#!/bin/sh
echo '{"ServerURL":"127.0.0.1:5010","Username":"<token>","Secret":"identity+token"}'
H
chmod +x helpers/docker-credential-fixed
check "an identity token of a helper" env PATH="$work/helpers:$PATH" DOCKER_CONFIG="$work/identity" "$image" pull -q "$(bad strict)"
forget "$(bad strict)"
check "is posted too" equal 2 "$(tokens_of strict POST)"
check "and the password was never" equal 0 "$(grep -c "^5010 POST /token/strict.* Basic" requests)"

export SSL_CERT_FILE=$work/ca.pem
check "one with https elsewhere is asked, without password" arrives elsewhere-tls
check "it was" grep -q "^5014 GET /token/steal" requests
tls_pull() { "$image" pull -q "$@"; }
check "TLS" tls_pull 127.0.0.1:5013/fine/one:1
check "an upload from https to http" fails_with "over http" "$image" push 127.0.0.1:5013/fine/one:1 127.0.0.1:5013/push-plain/one:1
forget 127.0.0.1:5013/fine/one:1
check "a redirect from https to http" fails_with "from https to http" tls_pull 127.0.0.1:5013/redirect-plain/one:1
check "neither was gone after" equal "" "$(grep -E '^5010 [A-Z]+ /(elsewhere|v2/push-plain)' requests)"
check "unless that is allowed" tls_pull --insecure 127.0.0.1:5013/redirect-plain/one:1
forget 127.0.0.1:5013/redirect-plain/one:1
check "a certificate that has expired" fails_with "expired" tls_pull 127.0.0.1:5015/fine/one:1
check "one of another host" fails_with "certificate subject name" tls_pull 127.0.0.1:5016/fine/one:1
check "one that nobody vouches for" fails_with "self-signed" tls_pull 127.0.0.1:5017/fine/one:1
for port in 5015 5016 5017; do
  check "--insecure does not look at that of $port" tls_pull --insecure 127.0.0.1:$port/fine/one:1
  forget 127.0.0.1:$port/fine/one:1
done
unset SSL_CERT_FILE

check "a list that goes round" fails_with "round in a circle" "$image" registry tags "$(bad circle)"
check "a list that goes on elsewhere" fails_with "goes on elsewhere" "$image" registry tags "$(bad elsewhere)"
check "a list without end" within 120 fails_with "more than 2000 pages" "$image" registry tags "$(bad endless)"
check "a list of too many" fails_with "more than 200000 entries" "$image" registry tags "$(bad many)"
check "a page that is too large" fails_with "answer of more than" "$image" registry tags "$(bad large)"
check "no list at all" fails_with "tags" "$image" registry tags "$(bad no-list)"
referrers_of() { # FAULT [OPTION…]: numbers and types
  local fault=$1
  shift
  "$image" registry referrers --format json "$@" "$(bad "$fault")" | jq -r '.[] | "\(.annotations.number) \(.artifactType)"'
}
check "referrers in pages" referrers_of pages
check "are all of them" equal "$(printf '%s x/even\n%s x/odd\n' 0 1 2 3 4 5)" "$(cat last)"
check "referrers in pages, of one type" referrers_of pages --artifact-type x/odd
check "are chosen here where the registry does not" equal "$(printf '%s x/odd\n' 1 3 5)" "$(cat last)"
check "the registry was asked to" grep -q "^5010 GET /v2/pages/one/referrers/sha256:[0-9a-f]*?artifactType=x%2Fodd " requests
check "referrers that the registry has chosen" referrers_of filtered --artifact-type x/odd
check "are as it says" equal "0 x/renamed" "$(cat last)"
check "referrers that go round" fails_with "round in a circle" "$image" registry referrers "$(bad circle)"
check "referrers that go on elsewhere" fails_with "goes on elsewhere" "$image" registry referrers "$(bad far)"
check "where nobody was asked" equal "" "$(grep "^5011 .*/referrers/" requests || true)"
check "referrers without end" within 120 fails_with "more than 2000 pages" "$image" registry referrers "$(bad for-ever)"
check "referrers that are none" fails_with "image manifest" "$image" registry referrers "$(bad no-index)"
check "tags that would steer the terminal" "$image" registry tags "$(bad terminal)"
check "are quoted" equal $'plain\n"\\x1b[31mred"\n"two\\x0alines"' "$(cat last)"

"$image" pull -q "$(bad fine)" >/dev/null
pushes() { "$image" push -q "$(bad fine)" "$(bad "$1")"; }
check "push to it" pushes push-fine
check "a connection lost in a push" pushes push-drop
check "or between pieces" "$image" push -q --chunk-size 1m "$(bad fine)" "$(bad push-drop-piece)"
check "goes on where the registry stands" grep -q "^5010 GET /v2/push-drop-piece/one/blobs/session/" requests
check "a registry that forgets its pieces" within 60 fails_with "answers 500" \
  "$image" push --chunk-size 1m "$(bad fine)" "$(bad push-forgets)"
check "too large in one piece" pushes push-large
check "and then no room for its pieces" fails_with "quota exceeded" pushes push-large-quota
check "an upload that is taken elsewhere" pushes push-foreign
check "by a registry that wants a token" grep -q "^5010 POST /v2/push-foreign/one/blobs/.* Bearer known$" requests
check "and goes there" grep -q "^5011 P[A-Z]* /v2/push-foreign/one/blobs/session/" requests
check "a tag alone is deleted where the registry can" "$image" registry delete "$(bad delete-tag)"
check "and nothing else" equal "DELETE /v2/delete-tag/one/manifests/1" "$(grep -o 'DELETE [^ ]*' requests)"
check "a registry that took in something else" fails_with "took in" "$image" push "$(bad fine)" "$(bad push-lies)"
no_secrets_elsewhere() { ! awk '($1 == 5011 || $1 == 5014) && $4 != "-"' requests | grep .; }
check "no request elsewhere had credentials" no_secrets_elsewhere

echo "all passed"
