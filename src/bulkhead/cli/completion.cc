#include <string>
#include <string_view>

#include <fmt/format.h>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/config/paths.h"

// The scripts know nothing of commands and options: they hand the words to `bulkhead __complete`
// and the answer (program/complete.h) to their shell.

namespace bulkhead::cli {
namespace {

// bash splits words at ":" and "=" too, which are parts of words here (debian:12, --format=json).
// They are put together again, and what bash takes for the beginning is cut from the answer.
constexpr std::string_view kBash =
    R"sh(# bash completion of bulkhead: source it, or install it as /etc/bash_completion.d/bulkhead

_bulkhead() {
  local rest=${COMP_LINE:0:COMP_POINT} piece word line begun i
  local -a words=() candidates=()
  COMPREPLY=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    piece=${COMP_WORDS[i]}
    word=${rest#"${rest%%[![:space:]]*}"}
    if ((i == COMP_CWORD)); then
      piece=$word
    fi
    if [[ $word == "$rest" && ${#words[@]} -gt 1 ]]; then
      words[-1]+=$piece
    else
      words+=("$piece")
    fi
    rest=${word#"$piece"}
  done
  word=${words[-1]}
  local program=${words[0]}
  type -P "$program" >/dev/null || program=bulkhead
  mapfile -t candidates < <("$program" __complete -- "${words[@]:1}" 2>/dev/null)
  begun=
  if [[ $COMP_WORDBREAKS == *:* && $word == *:* ]]; then
    begun=${word%"${word##*:}"}
  elif [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; then
    begun=${word%"${word##*=}"}
  fi
  for line in "${candidates[@]}"; do
    if [[ $line == :files ]]; then
      compopt -o filenames 2>/dev/null || :  # where no key was pressed
      word=${word##*=}
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
    else
      line=${line%%$'\t'*}
      COMPREPLY+=("${line#"$begun"}")
    fi
  done
}

complete -F _bulkhead bulkhead
)sh";

constexpr std::string_view kZsh = R"sh(#compdef bulkhead
# zsh completion of bulkhead: install it as _bulkhead in a directory of $fpath, or source it after compinit

_bulkhead() {
  local program=${(Q)words[1]} line word
  local -a found described
  whence -p -- "$program" >/dev/null || program=bulkhead
  found=("${(@f)$("$program" __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
  for line in $found; do
    if [[ $line == :files ]]; then
      [[ $PREFIX == --*=* ]] && compset -P '*='
      _files
    else
      word=${line%%$'\t'*}
      if [[ $line == *$'\t'* ]]; then
        described+=("${word//:/\\:}:${line#*$'\t'}")
      else
        described+=("${word//:/\\:}")
      fi
    fi
  done
  (( $#described )) && _describe -t bulkhead bulkhead described
}

if [[ $funcstack[1] == _bulkhead ]]; then
  _bulkhead "$@"
else
  compdef _bulkhead bulkhead
fi
)sh";

constexpr std::string_view kFish =
    R"sh(# fish completion of bulkhead: install it as ~/.config/fish/completions/bulkhead.fish

function __bulkhead_complete
    set -l words (commandline -opc)
    set -l program $words[1]
    command -sq -- $program; or set program bulkhead
    set -e words[1]
    set -l word (commandline -ct)
    for line in ($program __complete -- $words "$word" 2>/dev/null)
        if test "$line" = :files
            set -l option (string match -r -- '^--[^=]*=' "$word")
            for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$word"))
                echo "$option$path"
            end
        else
            echo $line
        end
    end
end

complete -c bulkhead -f -a '(__bulkhead_complete)'
)sh";

}  // namespace

Result<int> completion(const config::Paths& /*paths*/, const std::string& shell) {
  fmt::print("{}", shell == "bash" ? kBash : shell == "zsh" ? kZsh : kFish);
  return 0;
}

}  // namespace bulkhead::cli
