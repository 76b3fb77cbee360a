# Sourced by the tests of bulkhead-image.
# shellcheck shell=bash

build_dir=${BULKHEAD_BUILD_DIR:?"the build directory"}
project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
image=$build_dir/libexec/bulkhead-image

skip() {
  echo "skipped: $*"
  exit 77
}

equal() {
  [ "$1" = "$2" ] || {
    printf 'expected %s\nactual   %s\n' "$1" "$2" >&2
    return 1
  }
}

field() { # REFERENCE FIELD of list
  "$image" list --format json | jq -r --arg reference "$1" --arg field "$2" \
    '.[] | select(.reference == $reference) | .[$field]'
}

sha256() { sha256sum | cut -d' ' -f1; }

[ -x "$image" ] || skip "$image is not built"
