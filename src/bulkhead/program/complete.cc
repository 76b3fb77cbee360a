#include "bulkhead/program/complete.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/program/run.h"

namespace bulkhead::program {
namespace {

/// Placeholders that stand for a file of the host.
constexpr std::array<std::string_view, 5> kFiles = {"DIRECTORY", "DISK", "FILE", "TAR", "TO"};

/// The usage line of a command whose arguments CLI11 does not know.
class ArgumentsFormatter : public CLI::Formatter {
 public:
  ArgumentsFormatter(std::string program, std::string arguments)
      : program_(std::move(program)), arguments_(std::move(arguments)) {}

  std::string make_usage(const CLI::App* app, std::string name) const override {
    return fmt::format("Usage: {} {} [OPTIONS] {}\n", program_,
                       app->get_name().empty() ? name : app->get_name(), arguments_);
  }

  [[nodiscard]] const std::string& arguments() const { return arguments_; }

 private:
  std::string program_;
  std::string arguments_;
};

/// The first line: a description is one cell.
std::string first_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

/// "SECONDS" of CLI11's "SECONDS:INT in [0 - 86400]".
std::string placeholder_of(const CLI::Option& option) {
  if (option.get_positional()) {
    return option.get_name(true);
  }
  const std::string type = option.get_type_name();
  return type.substr(0, type.find(':'));
}

/// The words of CLI11's "FORMAT:{table,json}", which is how it describes IsMember.
std::vector<Candidate> fixed_values(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto begin = type.find(":{");
  if (begin == std::string::npos || !type.ends_with('}')) {
    return {};
  }
  const std::string_view list = std::string_view(type).substr(begin + 2, type.size() - begin - 3);
  std::vector<Candidate> candidates;
  for (const std::string_view word : split(list, ',')) {
    candidates.push_back({.word = std::string(word), .description = {}});
  }
  return candidates;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

bool is_hidden(const CLI::App& command) { return command.get_group().empty(); }

/// Reads words as the parser would, as far as it matters for what comes next.
class Walk {
 public:
  explicit Walk(const CLI::App& root) : command_(&root) {}

  void take(const std::string& word) {
    if (pending_ != nullptr) {
      pending_ = nullptr;
    } else if (only_arguments_ || word.size() < 2 || !word.starts_with('-')) {
      take_argument(word);
    } else if (word == "--") {
      only_arguments_ = true;
    } else if (word.starts_with("--")) {
      const CLI::Option* option = long_option(word.substr(0, word.find('=')));
      pending_ =
          option != nullptr && takes_value(*option) && !word.contains('=') ? option : nullptr;
    } else {
      take_short_options(word);
    }
  }

  [[nodiscard]] Completion complete(const std::string& word, const Values& values) const {
    Completion completion;
    if (pending_ != nullptr) {
      add_values(completion, *pending_, word, "", values);
    } else if (!only_arguments_ && word.starts_with("--") && word.contains('=')) {
      const std::string name = word.substr(0, word.find('='));
      const CLI::Option* option = long_option(name);
      if (option != nullptr && takes_value(*option)) {
        add_values(completion, *option, word.substr(name.size() + 1), name + "=", values);
      }
    } else if (!only_arguments_ && word.starts_with('-')) {
      add_options(completion, word);
    } else {
      add_commands(completion, word);
      add_arguments(completion, word, values);
    }
    return completion;
  }

 private:
  void take_argument(const std::string& word) {
    if (arguments_.empty()) {
      for (const CLI::App* sub : command_->get_subcommands([](const CLI::App*) { return true; })) {
        if (sub->check_name(word)) {
          command_ = sub;
          path_ += (path_.empty() ? "" : " ") + sub->get_name();
          return;
        }
      }
    }
    arguments_.push_back(word);
    // From here on everything is the container's.
    only_arguments_ = only_arguments_ || command_->get_prefix_command();
  }

  /// "-it", "-m1g": the first that takes a value has the rest of the word, or the next word.
  void take_short_options(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const CLI::Option* option = short_option(word[i]);
      if (option == nullptr) {
        return;
      }
      if (takes_value(*option)) {
        pending_ = i + 1 == word.size() ? option : nullptr;
        return;
      }
    }
  }

  [[nodiscard]] const CLI::Option* long_option(const std::string& name) const {
    return command_->get_option_no_throw(name);
  }

  [[nodiscard]] const CLI::Option* short_option(char name) const {
    return command_->get_option_no_throw(std::string("-") + name);
  }

  static void add(Completion& completion, std::string_view beginning, std::string word,
                  std::string_view description) {
    if (word.starts_with(beginning)) {
      completion.candidates.push_back(
          {.word = std::move(word), .description = first_line(description)});
    }
  }

  void add_commands(Completion& completion, const std::string& word) const {
    if (!arguments_.empty()) {
      return;
    }
    for (const CLI::App* sub : command_->get_subcommands([](const CLI::App*) { return true; })) {
      if (!is_hidden(*sub)) {
        add(completion, word, sub->get_name(), sub->get_description());
      }
    }
  }

  /// Long names, and short ones of what has no long one: one line for each option.
  void add_options(Completion& completion, const std::string& word) const {
    for (const CLI::Option* option : command_->get_options()) {
      if (!option->nonpositional() || option->get_group().empty()) {
        continue;
      }
      const bool has_long = !option->get_lnames().empty();
      const std::string name =
          has_long ? "--" + option->get_lnames().front() : "-" + option->get_snames().front();
      add(completion, word, name, option->get_description());
    }
  }

  void add_arguments(Completion& completion, const std::string& word, const Values& values) const {
    std::size_t position = arguments_.size();
    if (const auto* named =
            dynamic_cast<const ArgumentsFormatter*>(command_->get_formatter().get())) {
      const auto placeholders = split(named->arguments(), ' ');
      if (position < placeholders.size()) {
        add_placeholder(completion, std::string(placeholders[position]), word, "", values);
      }
      return;
    }
    for (const CLI::Option* option : command_->get_options()) {
      if (option->nonpositional()) {
        continue;
      }
      const auto room = static_cast<std::size_t>(option->get_items_expected_max());
      if (position < room) {
        add_values(completion, *option, word, "", values);
        return;
      }
      position -= room;
    }
  }

  void add_values(Completion& completion, const CLI::Option& option, const std::string& word,
                  const std::string& before, const Values& values) const {
    const std::vector<Candidate> fixed = fixed_values(option);
    for (const Candidate& candidate : fixed) {
      add(completion, before + word, before + candidate.word, candidate.description);
    }
    if (fixed.empty()) {
      add_placeholder(completion, placeholder_of(option), word, before, values);
    }
  }

  void add_placeholder(Completion& completion, const std::string& placeholder,
                       const std::string& word, const std::string& before,
                       const Values& values) const {
    if (std::ranges::find(kFiles, placeholder) != kFiles.end()) {
      completion.has_files = true;
      return;
    }
    for (const Candidate& candidate :
         values({.command = path_, .placeholder = placeholder, .beginning = word})) {
      // Nobody names a thing twice.
      if (std::ranges::find(arguments_, candidate.word) == arguments_.end()) {
        add(completion, before + word, before + candidate.word, candidate.description);
      }
    }
  }

  const CLI::App* command_;
  std::string path_;
  std::vector<std::string> arguments_;
  const CLI::Option* pending_ = nullptr;  ///< its value is the next word
  bool only_arguments_ = false;
};

bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

}  // namespace

std::vector<std::string> words_to_complete(int argc, const char* const* argv) {
  if (argc < 4 || argv[1] != kCompleteCommand || std::string_view(argv[2]) != "--") {
    return {};
  }
  return {argv + 3, argv + argc};
}

Completion complete(const CLI::App& root, std::span<const std::string> words,
                    const Values& values) {
  Walk walk(root);
  if (words.empty()) {
    return {};
  }
  for (const std::string& word : words.first(words.size() - 1)) {
    walk.take(word);
  }
  return walk.complete(words.back(), values);
}

Result<> print_completion(const Completion& completion) {
  std::string text;
  for (const Candidate& candidate : completion.candidates) {
    if (!is_printable(candidate.word)) {
      continue;
    }
    text += candidate.word;
    if (!candidate.description.empty() && is_printable(candidate.description)) {
      text += "\t" + candidate.description;
    }
    text += "\n";
  }
  if (completion.has_files) {
    text += ":files\n";
  }
  return print(text);
}

void be_silent() {
  log::configure(log::Level::Error, [](log::Level, std::string_view) {});
}

void name_arguments(CLI::App& command, const std::string& program, const std::string& arguments) {
  command.formatter(std::make_shared<ArgumentsFormatter>(program, arguments));
}

}  // namespace bulkhead::program
