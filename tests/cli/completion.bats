#!/usr/bin/env bats
# What shells offer for a word that is begun.

load lib/bulkhead

setup_file() {
  export BULKHEAD_COLD=1
  bulkhead_setup_file
  bulkhead image tag "$BUSYBOX" localhost/other:1
  bulkhead create --name web "$BUSYBOX" true
  bulkhead create --name worker "$BUSYBOX" true
  touch "$WORK/file-one"
}
teardown_file() { bulkhead_teardown_file; }

# candidates WORD…: what the program itself answers, without descriptions.
candidates() {
  bulkhead __complete -- "$@" | cut -f 1
}

# in_bash LINE WORD…: what bash is given for the end of LINE, which it has split into these words.
in_bash() {
  bash -c '
    set -eu
    source <(bulkhead completion bash)
    COMP_LINE=$1 COMP_POINT=${#1}
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _bulkhead
    [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}

@test "candidates come with descriptions, from the program's own help" {
  run bulkhead __complete -- ru
  [ "$output" = "run	Run a command in a new container" ]
  run bulkhead __complete -- image pul
  [ "$output" = "pull	Fetch an image from a registry" ]
  run candidates registry ""
  [[ $output == *catalog* ]]
  run bulkhead __complete -- disk ls --lo
  [ "$output" = "--long	modes, owners, sizes and times too" ]
  run bulkhead __complete -- run --read
  [ "$output" = "--read-only	Make the root file system read-only" ]
}

@test "containers, images, networks, signals, fixed values" {
  [ "$(candidates rm w | sort | xargs)" = "web worker" ]
  [ "$(candidates rm web w)" = worker ]
  [ "$(candidates start we)" = web ]
  [ -z "$(candidates exec w)" ]  # none runs
  [ "$(candidates run --rm local | sort | xargs)" = "$BUSYBOX localhost/other:1" ]
  [ "$(candidates image rm localhost/o)" = localhost/other:1 ]
  [ "$(candidates registry tags localhost/o)" = localhost/other ]
  [ "$(candidates run --network n)" = none ]
  [ "$(candidates kill --signal=US | xargs)" = "--signal=USR1 --signal=USR2" ]
  [ "$(candidates list --format j)" = json ]
  [ "$(candidates image pull --progress p)" = plain ]
  [ "$(candidates image pull --platform linux/amd64,linux/arm6)" = linux/amd64,linux/arm64 ]
  [ "$(candidates run --env-file "")" = :files ]
  [ -z "$(candidates run "$BUSYBOX" -)" ]  # the container's words are not ours
}

@test "running containers are offered where one must run" {
  bulkhead run -d --name alive "$BUSYBOX" sleep 1000
  [ "$(candidates exec -it "")" = alive ]
  [ "$(candidates stop al)" = alive ]
  [ -z "$(candidates start al)" ]
  id=$(bulkhead list -q)
  [ "$(candidates stop "${id:0:4}")" = "$id" ]
  bulkhead rm -f alive
}

@test "an absent directory: no candidates, no words, and nothing is made" {
  export BULKHEAD_STATE_DIR=$WORK/absent BULKHEAD_RUN_DIR=$WORK/absent-run
  for words in "rm " "run " "image rm " "system template rm " "network rm "; do
    # shellcheck disable=SC2086
    run bulkhead __complete -- $words ""
    [ "$status" -eq 0 ]
    [ -z "$output" ]
  done
  [ ! -e "$WORK/absent" ]
  [ ! -e "$WORK/absent-run" ]
  BULKHEAD_STATE_DIR=relative run bulkhead __complete -- rm ""
  [ "$status" -eq 0 ]
  [ -z "$output" ]
}

@test "nothing is left in the store by looking at it" {
  before=$(cd "$BULKHEAD_STATE_DIR" && find . | sort)
  candidates run ""
  candidates network rm ""
  [ "$(cd "$BULKHEAD_STATE_DIR" && find . | sort)" = "$before" ]
}

@test "bash: words, and those that bash splits" {
  [ "$(in_bash "bulkhead imag" bulkhead imag)" = image ]
  [ "$(in_bash "bulkhead rm w" bulkhead rm w | sort | xargs)" = "web worker" ]
  [ "$(in_bash "bulkhead run --pull=m" bulkhead run --pull = m)" = missing ]
  [ "$(in_bash "bulkhead run --pull=" bulkhead run --pull = | head -n 1)" = always ]
  [ "$(in_bash "bulkhead image rm localhost/busybox:t" bulkhead image rm localhost/busybox : t)" = test ]
  [ "$(in_bash "bulkhead image rm localhost/busybox:" bulkhead image rm localhost/busybox :)" = test ]
  [ "$(in_bash "bulkhead  run  --rm   $BUSYBOX" bulkhead run --rm localhost/busybox : test)" = test ]
  [ "$(in_bash "bulkhead run --env-file $WORK/fi" bulkhead run --env-file "$WORK/fi")" = "$WORK/file-one" ]
  [ "$(in_bash "bulkhead run --env-file=$WORK/fi" bulkhead run --env-file = "$WORK/fi")" = "$WORK/file-one" ]
  [ -z "$(in_bash "bulkhead nonsense x" bulkhead nonsense x)" ]
}

@test "bash: the key itself" {
  "$BATS_TEST_DIRNAME/lib/press-tab.py" bash "source <(bulkhead completion bash)" \
    "bulkhead image rm localhost/busybox:t" "bulkhead image rm localhost/busybox:test"
  "$BATS_TEST_DIRNAME/lib/press-tab.py" bash "source <(bulkhead completion bash)" \
    "bulkhead system te" "bulkhead system template "
}

@test "zsh: its syntax, and the key itself" {
  command -v zsh || skip "zsh is not installed"
  bulkhead completion zsh >"$WORK/_bulkhead"
  zsh -n "$WORK/_bulkhead"
  "$BATS_TEST_DIRNAME/lib/press-tab.py" zsh "autoload -U compinit; compinit -D; source $WORK/_bulkhead" \
    "bulkhead image rm localhost/oth" "bulkhead image rm localhost/other:1"
  # Installed as zsh finds its own.
  "$BATS_TEST_DIRNAME/lib/press-tab.py" zsh "fpath=($WORK \$fpath); autoload -U compinit; compinit -D -u" \
    "bulkhead system te" "bulkhead system template"
  "$BATS_TEST_DIRNAME/lib/press-tab.py" zsh "autoload -U compinit; compinit -D; source $WORK/_bulkhead" \
    "bulkhead run --env-file $WORK/fi" "bulkhead run --env-file $WORK/file-one"
  "$BATS_TEST_DIRNAME/lib/press-tab.py" zsh "autoload -U compinit; compinit -D; source $WORK/_bulkhead" \
    "bulkhead run --env-file=$WORK/fi" "bulkhead run --env-file=$WORK/file-one"
}

@test "fish: what it offers" {
  command -v fish || skip "fish is not installed"
  bulkhead completion fish >"$WORK/bulkhead.fish"
  fish -n "$WORK/bulkhead.fish"
  offered() {
    HOME=$WORK fish -c 'source $argv[1]; complete -C $argv[2]' "$WORK/bulkhead.fish" "$1"
  }
  [ "$(offered "bulkhead image rm localhost/o")" = "localhost/other:1	$(bulkhead __complete -- image rm localhost/o | cut -f 2)" ]
  [ "$(offered "bulkhead ru")" = "run	Run a command in a new container" ]
  [ "$(offered "bulkhead run --pull=m")" = "--pull=missing" ]
  [[ $(offered "bulkhead run --env-file $WORK/fi") == "$WORK/file-one"* ]]
  [[ $(offered "bulkhead run --env-file=$WORK/fi") == "--env-file=$WORK/file-one"* ]]
}

@test "completion needs a shell that it knows" {
  run bulkhead completion tcsh
  [ "$status" -eq 125 ]
  [[ $output == *"bulkhead completion --help"* ]]
}
