// Makes an image by a script of edits, for the test that compares it with a real directory:
//
//   ext4_edit_tool FILE SCRIPT
//
// A line is a command and its arguments, separated by tabs; numbers are decimal. For each line "ok"
// or the error's code goes to standard output; the script is carried on after an error.

#include <fcntl.h>

#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::ext4 {
namespace {

/// The arguments of one line.
class Line {
 public:
  explicit Line(const std::string& text) {
    std::istringstream stream(text);
    for (std::string word; std::getline(stream, word, '\t');) {
      words_.push_back(word);
    }
    words_.resize(6);
  }

  [[nodiscard]] const std::string& operator[](std::size_t index) const { return words_[index]; }

  [[nodiscard]] std::uint32_t number(std::size_t index) const {
    return parse_decimal<std::uint32_t>(words_[index]).value_or(0);
  }

 private:
  std::vector<std::string> words_;
};

Result<> write_file(Formatter& formatter, const Line& line) {
  const Attributes attributes{.permissions = static_cast<std::uint16_t>(line.number(2))};
  BH_TRY(formatter.begin_file(line[1], attributes));
  BH_TRY(formatter.append(as_bytes(std::string(line.number(3), line[4].front()))));
  return formatter.end_file();
}

Result<> run(Formatter& formatter, const Line& line) {
  const std::string& command = line[0];
  const Attributes attributes{.permissions = static_cast<std::uint16_t>(line.number(2))};
  if (command == "mkdir") {
    return formatter.make_directory(line[1], attributes);
  }
  if (command == "write") {
    return write_file(formatter, line);
  }
  if (command == "symlink") {
    return formatter.make_symlink(line[1], line[2], {.permissions = 0777});
  }
  if (command == "link") {
    return formatter.make_hard_link(line[1], line[2]);
  }
  if (command == "mknod") {
    return formatter.make_node(line[1], NodeType::CharacterDevice, {line.number(3), line.number(4)},
                               attributes);
  }
  if (command == "chmod") {
    return formatter.change_attributes(line[1], {.permissions = attributes.permissions});
  }
  if (command == "chown") {
    return formatter.change_attributes(line[1], {.uid = line.number(2), .gid = line.number(3)});
  }
  if (command == "setxattr") {
    return formatter.set_xattr(line[1], {.name = line[2], .value = as_bytes(line[3])});
  }
  if (command == "removexattr") {
    return formatter.remove_xattr(line[1], line[2]);
  }
  if (command == "rename") {
    return formatter.rename(line[1], line[2]);
  }
  if (command == "remove") {
    return formatter.remove(line[1]);
  }
  return fail(ErrorCode::Internal, "{}: no command", quote(command));
}

Result<> make(const std::string& path, const std::string& script) {
  const os::UniqueFd file = BH_TRY(os::open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0644));
  Formatter formatter = BH_TRY(Formatter::create(file.get(), {}));
  std::istringstream lines(BH_TRY(os::read_file(script)));
  for (std::string line; std::getline(lines, line);) {
    const auto done = run(formatter, Line(line));
    fmt::print("{}\n", done ? "ok" : to_string(done.error().code()));
  }
  std::ignore = BH_TRY(std::move(formatter).finish());
  return {};
}

}  // namespace
}  // namespace bulkhead::ext4

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: ext4_edit_tool FILE SCRIPT\n");
    return 2;
  }
  const auto result = bulkhead::ext4::make(argv[1], argv[2]);
  if (!result) {
    fmt::print(stderr, "ext4_edit_tool: {}\n", result.error().message());
    return 1;
  }
  return 0;
}
