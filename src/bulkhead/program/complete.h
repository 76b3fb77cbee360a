#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

// What a word that is being typed may become: the other half of `bulkhead completion`.
//
// A shell's script asks the program itself (`bulkhead __complete -- WORD…`), and the tree that
// parses the words answers: commands, options, their help, and the values of options that have a
// fixed set of them. There is no second list that could differ from the first. What stands for a
// placeholder of the help ("CONTAINER", "IMAGE") only the program knows, and says in Values; one
// that means a file is left to the shell.
//
// The answer is one candidate a line, its description behind a tab, and a last line ":files" where
// the shell's own files fit too.

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace bulkhead::program {

/// The first word of a command line that asks for candidates; "--" and the words follow.
inline constexpr std::string_view kCompleteCommand = "__complete";

struct Candidate {
  std::string word;
  std::string description;
};

struct Completion {
  std::vector<Candidate> candidates;
  bool has_files = false;  ///< the shell's own files fit too
};

/// What the program is asked for.
struct Wanted {
  std::string command;      ///< the chosen one, without the program's name: "image rm"
  std::string placeholder;  ///< "CONTAINER", as the help has it
  std::string beginning;    ///< what has been typed of the word
};

using Values = std::function<std::vector<Candidate>(const Wanted& wanted)>;

/// The words of such a command line, its last one the one that is being typed. Empty when it is
/// none.
std::vector<std::string> words_to_complete(int argc, const char* const* argv);

/// What the last of `words` may become, by the rules by which the words would be parsed.
Completion complete(const CLI::App& root, std::span<const std::string> words, const Values& values);

/// The answer as the shells' scripts read it, on standard output. Errors: Io.
Result<> print_completion(const Completion& completion);

/// From now on this program says nothing on standard error: what a shell that completes a word
/// prints lands in the middle of the user's line.
void be_silent();

/// Names what a command takes that leaves everything behind its first argument alone: "IMAGE
/// [ARG…]" in the usage line, and as placeholders.
void name_arguments(CLI::App& command, const std::string& program, const std::string& arguments);

}  // namespace bulkhead::program
