#!/usr/bin/env bats
# bulkhead run: standard streams, exit statuses, options.

load lib/bulkhead

setup_file() { bulkhead_setup_file; }
teardown_file() { bulkhead_teardown_file; }

@test "a container has its own kernel, host name and process ids" {
  run --separate-stderr bulkhead run --rm "$BUSYBOX" sh -c 'echo $$; uname -r; hostname'
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = 1 ]
  [ "${lines[1]}" != "$(uname -r)" ]
  [[ "${lines[2]}" =~ ^[0-9a-f]{12}$ ]]
  [ -z "$stderr" ]
}

@test "standard output and standard error stay apart" {
  bulkhead run --rm "$BUSYBOX" sh -c 'echo out; echo err >&2' >"$WORK/out" 2>"$WORK/err"
  [ "$(cat "$WORK/out")" = out ]
  [ "$(cat "$WORK/err")" = err ]
}

@test "64 MiB of random bytes come through standard input unchanged" {
  head -c 67108864 /dev/urandom >"$WORK/random"
  expected=$(sha256sum <"$WORK/random")
  run bulkhead run --rm -i "$BUSYBOX" sha256sum <"$WORK/random"
  [ "$status" -eq 0 ]
  [ "$output" = "$expected" ]
}

@test "random bytes come back unchanged through standard output" {
  head -c 16777216 /dev/urandom >"$WORK/random"
  bulkhead run --rm -i "$BUSYBOX" cat <"$WORK/random" >"$WORK/back"
  cmp "$WORK/random" "$WORK/back"
}

@test "output and errors into one file, and what is written there afterwards" {
  for _ in 1 2 3 4 5; do
    : >"$WORK/both"
    {
      bulkhead run --rm "$BUSYBOX" sh -c 'echo out; sleep 0.1; echo err >&2; sleep 0.1; echo out'
      echo after
    } >"$WORK/both" 2>&1
    [ "$(tr '\n' ' ' <"$WORK/both")" = "out err out after " ]
  done
}

@test "a burst of output just before the end is complete" {
  run bash -c 'bulkhead run --rm "$BUSYBOX" sh -c "head -c 8388608 /dev/zero" | wc -c'
  [ "$output" -eq 8388608 ]
}

@test "without -i standard input is empty" {
  run bash -c 'echo secret | bulkhead run --rm "$BUSYBOX" cat'
  [ "$status" -eq 0 ]
  [ -z "$output" ]
}

@test "the exit status is the process's" {
  run bulkhead run --rm "$BUSYBOX" sh -c 'exit 42'
  [ "$status" -eq 42 ]
}

@test "the exit status is 128 + n for a signal" {
  run bulkhead run --rm "$BUSYBOX" sh -c 'sh -c "kill -KILL \$\$"; exit $?'
  [ "$status" -eq 137 ]
}

@test "a command that does not exist: 127 and one line" {
  run bulkhead run --rm "$BUSYBOX" no-such-command
  [ "$status" -eq 127 ]
  [ "${#lines[@]}" -eq 1 ]
  [[ "$output" == bulkhead:*no-such-command* ]]
}

@test "a file that cannot be executed: 126" {
  run bulkhead run --rm "$BUSYBOX" /etc/passwd
  [ "$status" -eq 126 ]
  [[ "$output" == bulkhead:*/etc/passwd* ]]
  run bulkhead run --rm "$BUSYBOX" /etc
  [ "$status" -eq 126 ]
}

@test "a bad option: 125 and one line" {
  run bulkhead run --no-such-option "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [ "${#lines[@]}" -eq 1 ]
}

@test "environment: image's, -e K=V, -e K from the caller, --env-file" {
  printf 'A=1\n# comment\nB=two words\n' >"$WORK/env"
  PASSED=on run bulkhead run --rm -e X=y -e PASSED -e ABSENT_HERE --env-file "$WORK/env" "$BUSYBOX" env
  [ "$status" -eq 0 ]
  [[ "$output" == *"X=y"* ]]
  [[ "$output" == *"PASSED=on"* ]]
  [[ "$output" == *"A=1"* ]]
  [[ "$output" == *"B=two words"* ]]
  [[ "$output" == *"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"* ]]
  [[ "$output" == *"HOME=/root"* ]]
  [[ "$output" != *ABSENT_HERE* ]]
}

@test "working directory: given, and made when absent" {
  run bulkhead run --rm -w /made/for/me "$BUSYBOX" pwd
  [ "$output" = /made/for/me ]
}

@test "users by name, number and group; supplementary groups" {
  run bulkhead run --rm -u nobody "$BUSYBOX" id
  [[ "$output" == "uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup),29(audio)" || "$output" == "uid=65534(nobody) gid=65534(nogroup) groups=29(audio),65534(nogroup)" ]]
  run bulkhead run --rm -u 1234:4321 "$BUSYBOX" id
  [[ "$output" == "uid=1234 gid=4321"* ]]
  run bulkhead run --rm -u daemon:audio "$BUSYBOX" id
  [[ "$output" == "uid=1(daemon) gid=29(audio)"* ]]
}

@test "a bad user: 125, never root" {
  for user in no-such-user -1 4294967296 root:no-such-group 0x0; do
    run bulkhead run --rm -u "$user" "$BUSYBOX" id
    [ "$status" -eq 125 ]
    [[ "$output" == bulkhead:* ]]
    [[ "$output" != *uid=* ]]
  done
}

@test "--entrypoint replaces the image's, arguments follow" {
  run bulkhead run --rm --entrypoint echo "$BUSYBOX" a 'b c'
  [ "$output" = "a b c" ]
}

@test "options after the image belong to the command" {
  run bulkhead run --rm "$BUSYBOX" echo --rm -e x
  [ "$output" = "--rm -e x" ]
}

@test "memory and CPUs are those of the machine" {
  run bulkhead run --rm -m 512m -c 1 "$BUSYBOX" sh -c 'nproc; awk "/MemTotal/ {print int(\$2 / 1024)}" /proc/meminfo'
  [ "${lines[0]}" -eq 1 ]
  [ "${lines[1]}" -le 512 ]
  [ "${lines[1]}" -ge 440 ]
}

@test "-m too small: 125 and the least that is possible" {
  run bulkhead run --rm -m 1m "$BUSYBOX" true
  [ "$status" -eq 125 ]
  [ "${#lines[@]}" -eq 1 ]
  [[ "$output" == bulkhead:*memory*MiB* ]]
}

@test "--read-only makes the root read-only" {
  run bulkhead run --rm --read-only "$BUSYBOX" touch /x
  [ "$status" -ne 0 ]
  [[ "$output" == *"Read-only file system"* ]]
}

@test "the writable layer has its size and takes what is written" {
  run bulkhead run --rm --scratch-size 2g "$BUSYBOX" sh -c 'df -m / | tail -n 1 | awk "{print \$2}"; dd if=/dev/zero of=/x bs=1M count=64 2>/dev/null && sync && wc -c </x'
  [ "${lines[0]}" -gt 1800 ]
  [ "${lines[1]}" -eq 67108864 ]
}

@test "--rm leaves nothing, and the name is free at once" {
  bulkhead run --rm --name again "$BUSYBOX" true
  bulkhead run --rm --name again "$BUSYBOX" true
  [ -z "$(bulkhead list -aq)" ]
}

@test "--timing names every phase" {
  run bulkhead run --rm --timing "$BUSYBOX" true
  [ "$status" -eq 0 ]
  for phase in shim qemu kernel init plan exec exit teardown; do
    [[ "${output,,}" == *"$phase"* ]]
  done
}

@test "a host that is a chroot" {
  # Its root is no mount point, as debootstrap leaves it.
  run unshare --mount -- bash -c '
    set -e
    mkdir -p "$WORK/chroot"
    mount -t tmpfs bulkhead-test "$WORK/chroot"
    root=$WORK/chroot/root
    mkdir -p "$root"
    for directory in /usr /bin /sbin /lib /lib64 /etc /proc /sys /dev /run "$project_dir" "$build_dir" "$WORK"; do
      mkdir -p "$root$directory"
      mount --rbind "$directory" "$root$directory"
    done
    mkdir -p "$root/tmp"
    exec chroot "$root" bulkhead run --rm "$BUSYBOX" hostname'
  [ "$status" -eq 0 ]
  [ "${#output}" -eq 12 ]
}
