#!/usr/bin/env bats
# Directories and files of the host in containers: -v, --mount, --tmpfs.

load lib/bulkhead.bash

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }

setup() {
  SHARE=$(mktemp -d "$WORK/share-XXXXXX")
  chmod 755 "$SHARE"
}

teardown() {
  remove_all
  rm -rf "$SHARE"
}

owner() { stat -c '%u:%g %a' "$1"; }

@test "a directory is the same on both sides, owners and modes too" {
  echo "from the host" >"$SHARE/here"
  chown 1234:5678 "$SHARE/here"
  chmod 640 "$SHARE/here"
  bulkhead run --name one -v "$SHARE:/data" "$BUSYBOX" sh -ec '
    [ "$(stat -c "%u:%g %a" /data/here)" = "1234:5678 640" ]
    cat /data/here
    echo "from the guest" >/data/there
    chown 77:88 /data/there; chmod 4710 /data/there
    mkdir -p /data/a/b; ln -s ../here /data/a/link; ln /data/here /data/a/hard; mkfifo /data/a/fifo
    mv /data/a /data/moved
    touch -d "2001-02-03 04:05:06" /data/moved/b' >"$WORK/out"
  [ "$(cat "$WORK/out")" = "from the host" ]
  if [ -z "${BULKHEAD_COLD:-}" ]; then
    [ "$(field one .state.warm)" = true ]
  fi
  [ "$(cat "$SHARE/there")" = "from the guest" ]
  [ "$(owner "$SHARE/there")" = "77:88 4710" ]
  [ "$(readlink "$SHARE/moved/link")" = ../here ]
  [ "$SHARE/moved/hard" -ef "$SHARE/here" ]
  [ -p "$SHARE/moved/fifo" ]
  [ "$(owner "$SHARE/moved/fifo")" = "0:0 644" ]
  [ "$(stat -c %y "$SHARE/moved/b" | cut -c1-19)" = "$(TZ=UTC date -d "2001-02-03 04:05:06" '+%F %T')" ]
}

@test "what one side writes, the other sees at once" {
  bulkhead run -d --name one -v "$SHARE:/data" "$BUSYBOX" sleep 1000
  for i in 1 2 3; do
    echo "host $i" >"$SHARE/file"
    [ "$(bulkhead exec one cat /data/file)" = "host $i" ]
    bulkhead exec one sh -c "echo guest $i >/data/file"
    [ "$(cat "$SHARE/file")" = "guest $i" ]
  done
}

@test "much data arrives as it is, both ways" {
  head -c 30000000 /dev/urandom >"$SHARE/in"
  bulkhead run --rm -v "$SHARE:/data" "$BUSYBOX" sh -ec 'cp /data/in /data/out; sha256sum </data/in' >"$WORK/sum"
  sha256sum <"$SHARE/in" | cmp - "$WORK/sum"
  cmp "$SHARE/in" "$SHARE/out"
}

@test "read-only is read-only" {
  echo content >"$SHARE/file"
  for volume in "-v $SHARE:/data:ro" "--mount type=bind,source=$SHARE,target=/data,readonly"; do
    # shellcheck disable=SC2086
    run bulkhead run --rm $volume "$BUSYBOX" sh -c '
      cat /data/file; touch /data/new; echo x >>/data/file; rm /data/file; chmod 777 /data/file'
    [ "$status" -ne 0 ]
    grep -qx content <<<"$output"
    [ "$(grep -c "Read-only file system" <<<"$output")" = 4 ]
  done
  [ "$(cat "$SHARE/file")" = content ]
  [ ! -e "$SHARE/new" ]
}

@test "a single file comes without its siblings" {
  echo one >"$SHARE/file"
  echo secret >"$SHARE/sibling"
  bulkhead run --rm -v "$SHARE/file:/etc/some/config" "$BUSYBOX" sh -ec '
    cat /etc/some/config; [ "$(ls /etc/some)" = config ]; echo two >>/etc/some/config' | grep -qx one
  [ "$(cat "$SHARE/file")" = "$(printf 'one\ntwo')" ]
  # Nor by the way the machine has them.
  run bulkhead run --rm -v "$SHARE/file:/file" "$BUSYBOX" sh -c 'grep -r secret / --include=sibling 2>/dev/null'
  [[ $output != *secret* ]]
}

@test "many shares, in one another, with memory between" {
  volumes=()
  for i in $(seq 30); do
    mkdir "$SHARE/$i"
    echo "$i" >"$SHARE/$i/number"
    volumes+=(-v "$SHARE/$i:/many/$i")
  done
  mkdir "$SHARE/inner"
  bulkhead run --rm "${volumes[@]}" -v "$SHARE/inner:/many/memory/inner" --tmpfs /many/memory:size=1m \
    "$BUSYBOX" sh -ec '
      for i in $(seq 30); do [ "$(cat /many/$i/number)" = "$i" ]; done
      echo lost >/many/memory/lost; echo kept >/many/memory/inner/kept
      grep " /many/memory tmpfs rw,nosuid,nodev,noexec" /proc/mounts >/dev/null'
  [ "$(cat "$SHARE/inner/kept")" = kept ]
  [ "$(ls "$SHARE/inner")" = kept ]
}

@test "relative paths are this directory's" {
  mkdir "$SHARE/sub"
  cd "$SHARE"
  bulkhead run --rm -v .:/here -v ./sub:/sub "$BUSYBOX" touch /here/a /sub/b
  [ -f "$SHARE/a" ] && [ -f "$SHARE/sub/b" ]
}

@test "users are who they are on the host" {
  mkdir -m 700 "$SHARE/private" && echo secret >"$SHARE/private/file"
  install -d -o 1000 -g 1000 "$SHARE/theirs"
  run bulkhead run --rm -u 1000:1000 -v "$SHARE:/data" "$BUSYBOX" sh -c '
    touch /data/theirs/new; touch /data/new; cat /data/private/file; chown 0 /data/theirs/new'
  [[ $output != *secret* ]]
  [ "$(grep -c -i -e "Permission denied" -e "not permitted" <<<"$output")" = 3 ]
  [ "$(owner "$SHARE/theirs/new")" = "1000:1000 644" ]
  [ ! -e "$SHARE/new" ]
}

@test "links lead nowhere but into the container" {
  ln -s /etc/hostname "$SHARE/absolute"
  ln -s ../../../../../../etc/machine-id "$SHARE/relative"
  name=$(bulkhead run --rm --hostname inside -v "$SHARE:/data" "$BUSYBOX" cat /data/absolute)
  [ "$name" = inside ]
  run bulkhead run --rm -v "$SHARE:/data" "$BUSYBOX" cat /data/relative
  [ "$status" -ne 0 ]
}

@test "programs are executed from a share" {
  cp "$(command -v busybox)" "$SHARE/busybox"
  [ "$(bulkhead run --rm -v "$SHARE:/data" "$BUSYBOX" /data/busybox echo executed)" = executed ]
  run bulkhead run --rm -v "$SHARE:/data:noexec" "$BUSYBOX" /data/busybox echo executed
  [ "$status" -eq 126 ]
}

@test "a share takes the place of what the container has there" {
  echo "10.1.2.3 there" >"$SHARE/hosts"
  bulkhead run --rm -v "$SHARE/hosts:/etc/hosts:ro" "$BUSYBOX" cat /etc/hosts >"$WORK/out"
  cmp "$SHARE/hosts" "$WORK/out"
  bulkhead run --rm -v "$SHARE:/dev/shm" "$BUSYBOX" touch /dev/shm/mark
  [ -f "$SHARE/mark" ]
}

@test "a container that starts again has its shares again, and says which is gone" {
  echo 1 >"$SHARE/file"
  bulkhead run --name one -v "$SHARE:/data" "$BUSYBOX" cat /data/file
  echo 2 >"$SHARE/file"
  [ "$(bulkhead start -a one)" = 2 ]
  mv "$SHARE" "$SHARE-away"
  run bulkhead start -a one
  [ "$status" -ne 0 ]
  [[ $output == *"$SHARE"* ]]
  mv "$SHARE-away" "$SHARE"
  [ "$(bulkhead start -a one)" = 2 ]
}

@test "inspect shows them" {
  bulkhead create --name one -v "$SHARE:/data:ro" --tmpfs /scratch "$BUSYBOX" true
  [ "$(field one '.mounts[] | select(.destination == "/data") | .source')" = "$SHARE" ]
  [ "$(field one '.mounts[] | select(.destination == "/data") | .options | index("ro") != null')" = true ]
  [ "$(field one '.mounts[] | select(.destination == "/scratch") | .type')" = tmpfs ]
}

@test "what cannot be is said before anything is made" {
  refused() {
    local what=$1
    shift
    run bulkhead run --rm "$@" "$BUSYBOX" true
    [ "$status" -eq 125 ] || { echo "$* gave $status" >&2; return 1; }
    [[ $output == *"$what"* ]] || { echo "$output" >&2; return 1; }
  }
  refused "does not exist" -v "$SHARE/absent:/data"
  refused "named volumes do not exist" -v data:/data
  refused "not absolute" -v "$SHARE:data"
  refused "root cannot be mounted over" -v "$SHARE:/"
  refused "two mounts are wanted at /data" -v "$SHARE:/data" --tmpfs /data
  refused "not an option" -v "$SHARE:/data:romantic"
  refused "only bind and tmpfs exist" --mount "type=volume,source=x,target=/data"
  refused "only directories and regular files" -v /dev/null:/data
  # A file system that cannot map owners.
  refused "/proc/sys" -v /proc/sys:/data
  [ -z "$(bulkhead list -aq)" ]
}

make_disk() {
  mkdir -p "$SHARE/tree"
  echo "$2" >"$SHARE/tree/content"
  chown 1234:5678 "$SHARE/tree/content"
  bulkhead disk create --size 64m --journal 4m "$1" "$SHARE/tree"
}

@test "a disk is a file system of its own" {
  make_disk "$SHARE/disk.ext4" first
  for i in 1 2; do
    bulkhead run --name one --disk "$SHARE/disk.ext4:/data" "$BUSYBOX" sh -ec '
      [ "$(stat -c "%u:%g" /data/content)" = "1234:5678" ]
      grep "^/dev/sda /data ext4 rw" /proc/mounts >/dev/null
      cat /data/content; [ -f /data/new ] || echo none; echo written >/data/new; mknod /data/null c 1 3 || true
      ! cat /data/null 2>/dev/null' >"$WORK/out"
    warm=$(field one .state.warm)
    bulkhead rm one
    if [ $i = 1 ]; then
      [ "$(cat "$WORK/out")" = "$(printf 'first\nnone')" ]
    else
      [ "$(cat "$WORK/out")" = first ]
    fi
    e2fsck -fn "$SHARE/disk.ext4"
    [ "$(bulkhead disk cat "$SHARE/disk.ext4" /new)" = written ]
    # The first of its shape leaves a template behind.
    if [ -z "${BULKHEAD_COLD:-}" ]; then
      wait_until 60 eval '[ -z "$(template_makers)" ]'
    fi
  done
  if [ -z "${BULKHEAD_COLD:-}" ]; then
    [ "$warm" = true ]
  fi
}

@test "several disks, of several block sizes, each at its place" {
  for i in 1 2 4; do
    mkdir -p "$SHARE/$i" && echo "$i" >"$SHARE/$i/number"
    bulkhead disk create --size 32m --block-size "${i}k" "$SHARE/$i.ext4" "$SHARE/$i"
  done
  bulkhead run --rm --disk "$SHARE/4.ext4:/disks/four:ro" --disk "$SHARE/1.ext4:/disks/one" -v "$SHARE/2:/disks/one/share" \
    --disk "$SHARE/2.ext4:/disks/two" "$BUSYBOX" sh -ec '
      [ "$(cat /disks/*/number | tr "\n" " ")" = "4 1 2 " ]
      [ "$(cat /disks/one/share/number)" = 2 ]
      ! touch /disks/four/new 2>/dev/null; echo new >/disks/one/new; echo new >/disks/two/new'
  for i in 1 2 4; do
    e2fsck -fn "$SHARE/$i.ext4"
  done
  # What was written is there, without a sync, though the container is gone.
  for i in 1 2; do
    [ "$(bulkhead disk cat "$SHARE/$i.ext4" /new)" = new ]
  done
}

@test "a disk has one writer or many readers" {
  make_disk "$SHARE/disk.ext4" content
  bulkhead run -d --name writer --disk "$SHARE/disk.ext4:/data" "$BUSYBOX" sleep 1000
  run bulkhead run --rm --disk "$SHARE/disk.ext4:/data:ro" "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [[ $output == *"in use by another container"* ]]
  bulkhead rm -f writer
  for name in one two; do
    bulkhead run -d --name $name --disk "$SHARE/disk.ext4:/data:ro" "$BUSYBOX" sleep 1000
    [ "$(bulkhead exec $name cat /data/content)" = content ]
  done
  run bulkhead run --rm --disk "$SHARE/disk.ext4:/data" "$BUSYBOX" true
  [ "$status" -eq 125 ]
}

@test "a disk outlives the machine that is killed" {
  make_disk "$SHARE/disk.ext4" content
  bulkhead run -d --name one --disk "$SHARE/disk.ext4:/data" "$BUSYBOX" sh -c 'echo kept >/data/kept; sync; echo ready; sleep 1000'
  wait_until 20 is_ready one
  kill -9 "$(field one .state.vm_pid)"
  wait_until 10 eval '[ "$(field one .state.status)" = stopped ]'
  # What has a journal to be replayed is not read without it.
  run bulkhead run --rm --disk "$SHARE/disk.ext4:/data:ro" "$BUSYBOX" cat /data/kept
  [ "$status" -ne 0 ]
  [[ $output == *"not unmounted cleanly"* ]]
  [ "$(bulkhead run --rm --disk "$SHARE/disk.ext4:/data" "$BUSYBOX" cat /data/kept)" = kept ]
  e2fsck -fn "$SHARE/disk.ext4"
}

@test "a disk keeps what was written when its container is removed by force" {
  make_disk "$SHARE/disk.ext4" content
  bulkhead run -d --name one --disk "$SHARE/disk.ext4:/data" "$BUSYBOX" sh -c 'echo kept >/data/kept; echo ready; sleep 1000'
  wait_until 20 is_ready one
  bulkhead rm -f one
  [ "$(bulkhead disk cat "$SHARE/disk.ext4" /kept)" = kept ]
  e2fsck -fn "$SHARE/disk.ext4"
}

@test "what is no disk is said" {
  truncate -s 1m "$SHARE/empty"
  run bulkhead run --rm --disk "$SHARE/empty:/data" "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [[ $output == *"not an ext4 image"* ]]
  # One that only looks like it.
  make_disk "$SHARE/disk.ext4" content
  dd if=/dev/urandom of="$SHARE/disk.ext4" bs=1 seek=1024 count=50 conv=notrunc 2>/dev/null
  run bulkhead run --rm --disk "$SHARE/disk.ext4:/data" "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [[ $output == *"/data"* ]]
  [ -z "$(bulkhead list -aq)" ]
}

@test "nothing stays mounted" {
  bulkhead run -d --name one -v "$SHARE:/data" "$BUSYBOX" sleep 1000
  ! grep -F "$SHARE" /proc/mounts
  kill -9 "$(field one .state.vm_pid)"
  wait_until 10 eval '[ "$(field one .state.status)" = stopped ]'
  bulkhead rm one
  rmdir "$SHARE"
}
