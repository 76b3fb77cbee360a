#include <variant>

#include "bulkhead/base/result.h"
#include "bulkhead/disk_cli/command_line.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/program/run.h"

// libexec/bulkhead-disk: ext4 images for people, without a virtual machine. A program of its own
// because it needs archives, which `bulkhead run` does not.

namespace {

using namespace bulkhead;  // NOLINT(google-build-using-namespace): this file is the program

Result<> body(int argc, char** argv) {
  if (const auto words = program::words_to_complete(argc, argv); !words.empty()) {
    program::be_silent();
    return disk_cli::print_candidates(words);
  }
  auto command = BH_TRY(disk_cli::parse_command_line(argc, argv));
  if (const auto* help = std::get_if<disk_cli::Help>(&command)) {
    return program::print(help->text);
  }
  return std::get<disk_cli::Command>(command)();
}

}  // namespace

int main(int argc, char** argv) { return program::run(argc, argv, body); }
