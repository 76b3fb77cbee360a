#!/usr/bin/env bats
# bulkhead disk beside other people's programs: e2fsprogs, GNU tar.

bats_require_minimum_version 1.5.0
load lib/bulkhead

# No virtual machine runs here.
setup_file() {
  WORK=$(mktemp -d)
  export WORK PATH="$build_dir/bin:$PATH:/usr/sbin:/sbin"
}
teardown_file() { rm -rf "$WORK"; }

# tree: one of everything that a tar carries.
tree() {
  mkdir -p "$1/dir/deeper" "$1/empty"
  printf 'first line\nno end of line' >"$1/dir/text"
  head -c 300000 /dev/urandom >"$1/dir/deeper/random"
  ln "$1/dir/text" "$1/hard"
  ln -s ../dir/text "$1/dir/soft"
  ln -s "$(printf 'long%.0s' {1..60})" "$1/dir/long-soft"
  printf 'x' >"$1/"$'odd \\ "name"\n\xff'
  truncate -s 100G "$1/sparse"
  printf 'end' | dd of="$1/sparse" bs=1 seek=90G conv=notrunc status=none
  python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.colour", b"green")' "$1/dir/text"
  chmod 4711 "$1/dir/deeper/random"
  touch -d '2040-02-03 04:05:06.123456789 UTC' "$1/dir/text"
  mknod "$1/null" c 1 3
  mkfifo "$1/fifo"
}

# manifest: what there is, as find sees it.
manifest() {
  (cd "$1" && find . -printf '%P %y %m %U:%G %s %n %l %T@\n' | grep -v '^ d' | sed -E 's/^(\S+ d \S+ \S+) [0-9]+ /\1 - /' | LC_ALL=C sort)
}

@test "a tree goes into an image and comes out of it the same" {
  tree "$WORK/tree"
  bulkhead disk create "$WORK/tree.img" "$WORK/tree"
  run e2fsck -fn "$WORK/tree.img"
  [ "$status" -eq 0 ]
  bulkhead disk check "$WORK/tree.img"
  mkdir "$WORK/out"
  bulkhead disk export "$WORK/tree.img" | tar -C "$WORK/out" -xpf - --xattrs --xattrs-include='*'
  diff <(manifest "$WORK/tree") <(manifest "$WORK/out")
  diff -r --no-dereference "$WORK/tree/dir" "$WORK/out/dir"
  [ "$(python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.colour").decode())' "$WORK/out/dir/text")" = green ]
  cmp -n 100 <(tail -c +$((90 << 30)) "$WORK/tree/sparse") <(tail -c +$((90 << 30)) "$WORK/out/sparse")
  [ "$(stat -c %b "$WORK/out/sparse")" -lt 1000 ]
}

@test "ls, cat and cp say what debugfs says" {
  run bulkhead disk ls "$WORK/tree.img" /dir
  diff <(LC_ALL=C sort <<<"$output") <(debugfs -R 'ls -p /dir' "$WORK/tree.img" 2>/dev/null | cut -d/ -f6 | grep -vx -e '' -e '\.' -e '\.\.' | LC_ALL=C sort)
  run bulkhead disk ls -l "$WORK/tree.img" /dir/text
  [[ "$output" == *text* ]]
  cmp <(bulkhead disk cat "$WORK/tree.img" /dir/text) <(debugfs -R 'cat /dir/text' "$WORK/tree.img" 2>/dev/null)
  cmp <(bulkhead disk cat "$WORK/tree.img" /dir/soft) "$WORK/tree/dir/text"
  bulkhead disk cp "$WORK/tree.img" /dir/deeper/random "$WORK/copied"
  debugfs -R "dump /dir/deeper/random $WORK/dumped" "$WORK/tree.img" 2>/dev/null
  cmp "$WORK/copied" "$WORK/dumped"
  bulkhead disk cp "$WORK/tree.img" /sparse "$WORK/sparse"
  [ "$(stat -c %s "$WORK/sparse")" -eq $((100 << 30)) ]
  [ "$(stat -c %b "$WORK/sparse")" -lt 1000 ]
}

@test "a journal's mode is what dumpe2fs reads, and tune2fs changes" {
  for mode in ordered data writeback; do
    bulkhead disk create --force --size 64m --journal 8m --journal-mode "$mode" "$WORK/journal.img"
    case $mode in
      data) expected=journal_data ;;
      *) expected=journal_data_$mode ;;
    esac
    run dumpe2fs -h "$WORK/journal.img"
    [[ "$(grep '^Default mount options' <<<"$output") " == *" $expected "* ]]
    e2fsck -fn "$WORK/journal.img"
    tune2fs -o journal_data "$WORK/journal.img"
    e2fsck -fn "$WORK/journal.img"
  done
}

@test "a full disk leaves no image, whole or half" {
  mkdir "$WORK/small"
  mount -t tmpfs -o size=8m small "$WORK/small"
  head -c 20000000 /dev/urandom >"$WORK/much"
  tar -C "$WORK" -cf "$WORK/much.tar" much
  run bulkhead disk create --from "$WORK/much.tar" "$WORK/small/image"
  local left=("$WORK"/small/*)
  umount "$WORK/small"
  [ "$status" -eq 1 ]
  [[ "$output" == *"No space left"* ]]
  [ "${left[*]}" = "$WORK/small/*" ]
}

@test "on a full disk --force leaves the image that was there" {
  mkdir "$WORK/forced"
  mount -t tmpfs -o size=8m forced "$WORK/forced"
  bulkhead disk create --size 64m --label old "$WORK/forced/image"
  head -c 20000000 /dev/urandom >"$WORK/much"
  run bulkhead disk create --force --from - "$WORK/forced/image" < <(tar -C "$WORK" -cf - much)
  local left
  left=$(ls -A "$WORK/forced")
  local label
  label=$(dumpe2fs -h "$WORK/forced/image" 2>/dev/null | grep '^Filesystem volume name')
  umount "$WORK/forced"
  [ "$status" -eq 1 ]
  [[ "$output" == *"No space left"* ]]
  [ "$left" = image ]
  [[ "$label" == *old ]]
}
