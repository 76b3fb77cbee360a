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

check() { # WHAT COMMAND…: what it says is in $work/last afterwards
  local what=$1
  shift
  if ! "$@" >"$work/check" 2>&1; then
    echo "FAILED: $what: $*" >&2
    cat "$work/check" >&2
    exit 1
  fi
  mv "$work/check" "$work/last"
  echo "ok: $what"
}

field() { # REFERENCE FIELD of list
  "$image" list --format json | jq -r --arg reference "$1" --arg field "$2" \
    '.[] | select(.reference == $reference) | .[$field]'
}

sha256() { sha256sum | cut -d' ' -f1; }

[ -x "$image" ] || skip "$image is not built"
