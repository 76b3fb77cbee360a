#!/usr/bin/env bats
# bulkhead export: the files of a container as a tar, beside what its guest saw.

bats_require_minimum_version 1.5.0
load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }
teardown() { remove_all; }

# Without what is mounted there.
readonly SEE='cd / && find . -xdev ! -path "./dev*" ! -path "./proc*" ! -path "./sys*" ! -path ./etc/hosts \
  ! -path ./etc/hostname ! -path ./etc/resolv.conf -exec stat -c "%n %F %a %u:%g %s %Y %t:%T %N" {} + |
  grep -v " directory .* [0-9]*$" | sed "s/ directory \([0-7]* [0-9:]*\) [0-9]* / directory \1 - /" | sort'
readonly CHANGE='
  echo new >/new; ln /new /etc/also-new; ln -s /new /soft; rm /bin/vi; mkdir -p /deep/er; mkfifo /deep/fifo
  rm -r /tmp; echo file >/tmp; mv /etc/passwd /deep/passwd; chown 7:8 /new; chmod 4711 /etc/group
  mkdir /was; echo x >/was/here; rm -r /was; mkdir /was; echo y >/was/there; mknod /deep/null c 1 3
  dd if=/dev/zero of=/sparse bs=1 count=1 seek=100M 2>/dev/null; printf "odd \\\\ \"name\"" >"/odd \"
\\name"; touch -d "2040-02-03 04:05:06" /soft'

@test "what a container has made of its files is in the tar, and nothing else" {
  bulkhead run --name one "$BUSYBOX" sh -c "$CHANGE; $SEE" >"$WORK/seen"
  bulkhead export -o "$WORK/one.tar" one
  bulkhead export one | cmp - "$WORK/one.tar"
  mkdir "$WORK/out"
  tar -C "$WORK/out" --numeric-owner -xpf "$WORK/one.tar"
  chroot "$WORK/out" /bin/busybox sh -c "$SEE" >"$WORK/exported"
  diff "$WORK/seen" "$WORK/exported"
  [ "$(stat -c %i "$WORK/out/new")" = "$(stat -c %i "$WORK/out/etc/also-new")" ]
  [ "$(stat -c %b "$WORK/out/sparse")" -le 64 ]
  # It is an image again.
  bulkhead image import "$WORK/one.tar" localhost/exported:one
  run bulkhead run --rm localhost/exported:one sh -c 'cat /etc/also-new /tmp /was/there && ! ls /bin/vi 2>/dev/null'
  [ "$status" -eq 0 ]
  [ "$output" = "$(printf 'new\nfile\ny')" ]
}

@test "one that was killed is exported as its disk was, and can be started after" {
  bulkhead run -d --name killed "$BUSYBOX" sh -c 'echo safe >/safe; sync; echo ready; sleep 1000'
  wait_until 20 is_ready killed
  kill -9 "$(field killed .state.vm_pid)"
  wait_until 20 eval '[ "$(field killed .state.status)" = stopped ]'
  [ "$(bulkhead export killed | tar -xO safe)" = safe ]
  bulkhead start killed
  [ "$(bulkhead exec killed cat /safe)" = safe ]
}

@test "one that runs is refused, one that never ran is its image" {
  bulkhead run -d --name runs "$BUSYBOX" sleep 1000
  run bulkhead export -o "$WORK/runs.tar" runs
  [ "$status" -eq 1 ]
  [[ "$output" == *"stop it first"* ]]
  [ ! -e "$WORK/runs.tar" ]
  bulkhead create --name fresh "$BUSYBOX" true
  bulkhead export fresh | tar -t | sed 's:^\./::' | grep -v -e '/$' -e '^$' | sort >"$WORK/fresh"
  tar -tf "$WORK/busybox.tar" | sed 's:^\./::' | grep -v -e '/$' -e '^$' | sort | diff "$WORK/fresh" -
  run bulkhead export nobody
  [ "$status" -ne 0 ]
  [[ "$output" == *"not found"* ]]
}

@test "a full disk leaves no tar, whole or half" {
  bulkhead run --name big "$BUSYBOX" sh -c 'head -c 20000000 /dev/urandom >/big'
  mkdir "$WORK/small"
  mount -t tmpfs -o size=8m small "$WORK/small"
  run bulkhead export -o "$WORK/small/big.tar" big
  local left
  left=$(ls -A "$WORK/small")
  umount "$WORK/small"
  [ "$status" -eq 1 ]
  [[ "$output" == *"No space left"* ]]
  [ -z "$left" ]
}

@test "a killed export leaves nothing in the store, and the next one succeeds" {
  bulkhead run --name big "$BUSYBOX" sh -c 'head -c 20000000 /dev/urandom >/big'
  mkfifo "$WORK/fifo"
  bulkhead export big >"$WORK/fifo" 3>&- &
  local pid=$!
  exec 4<"$WORK/fifo"
  head -c 1000 <&4 >/dev/null
  kill -9 "$pid"
  exec 4<&-
  wait "$pid" || true
  [ "$(ls "$BULKHEAD_STATE_DIR/containers/$(field big .id)" | sort | tr '\n' ' ')" = \
    "config.json container.json log scratch.ext4 state.json " ]
  [ "$(bulkhead export big | tar -t big)" = big ]
}
