# Shared by the scripts of this directory: where the project is, and progress with elapsed times.
# shellcheck shell=bash

project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache_dir=${BULKHEAD_CACHE:-${HOME:-/root}/.cache/bulkhead}
started_at=$(date +%s)

# say WORDS…: one progress line with the time since the script began.
say() {
  printf '[%3ds] %s\n' "$(($(date +%s) - started_at))" "$*" >&2
}

# fail WORDS…: a clear last line, and out.
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# quietly LOG COMMAND…: runs it with its output in LOG; shows the end of it when it fails.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail "failed: $* (all of its output: $log)"
  fi
}

# need_packages PACKAGE…: installs what is absent; nothing at all when everything is there.
need_packages() {
  local missing=() package
  for package in "$@"; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed'; then
      missing+=("$package")
    fi
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  [ "$(id -u)" -eq 0 ] || fail "these packages are missing, install them as root: apt-get install ${missing[*]}"
  say "installing ${#missing[@]} packages: ${missing[*]}"
  quietly "$project_dir/build/log/apt-update.log" apt-get update
  DEBIAN_FRONTEND=noninteractive quietly "$project_dir/build/log/apt-install.log" \
    apt-get install -y --no-install-recommends "${missing[@]}"
}

build_packages=(
  bc bison bzip2 ca-certificates cmake cpio flex g++ git libarchive-dev libboost-json1.81-dev libbz2-dev
  libcli11-dev libcurl4-openssl-dev libelf-dev libfmt-dev libgmock-dev libgtest-dev libisal-dev
  liblzma-dev libprotobuf-dev libprotoc-dev libseccomp-dev libsqlite3-dev libssl-dev
  libtomlplusplus-dev libzstd-dev linux-source-6.1 make ninja-build patch pkg-config protobuf-compiler
  python3-minimal xz-utils zlib1g-dev
)
run_packages=(busybox-static e2fsprogs iproute2 nftables qemu-system-x86)
test_packages=(
  bats buildah bzip2 clang-19 clang-format-19 clang-tidy-19 containerd curl docker-registry fish iputils-ping jq
  iptables libarchive-tools libbenchmark-dev libclang-rt-19-dev mmdebstrap netavark aardvark-dns openssl podman procps
  python3 redis-tools runc skopeo umoci xz-utils zsh zstd
)

# configure_and_build PRESET [TARGET…]
configure_and_build() {
  local preset=$1 log="$project_dir/build/log"
  shift
  (cd "$project_dir" && quietly "$log/configure-$preset.log" cmake --preset "$preset")
  quietly "$log/build-$preset.log" cmake --build "$project_dir/build/$preset" ${1:+--target "$@"}
}

# build_kernel PRESET: puts vmlinux where the programs of that build look for it.
build_kernel() {
  quietly "$project_dir/build/log/kernel.log" \
    "$project_dir/kernel/build" --output "$project_dir/build/$1/share/bulkhead"
}
