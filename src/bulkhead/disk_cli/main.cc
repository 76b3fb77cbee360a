#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/disk_cli/command_line.h"
#include "bulkhead/disk_cli/commands.h"
#include "bulkhead/os/io.h"

// libexec/bulkhead-disk: ext4 images for people, without a virtual machine. A program of its own
// because it needs archives, which `bulkhead run` does not.

namespace {

using namespace bulkhead;  // NOLINT(google-build-using-namespace): this file is the program

Result<> run(int argc, char** argv) {
  auto command = BH_TRY(disk_cli::parse_command_line(argc, argv));
  if (const auto* help = std::get_if<disk_cli::Help>(&command)) {
    return disk_cli::print(help->text);
  }
  return std::get<disk_cli::Command>(command)();
}

void print_line(log::Level level, std::string_view line) {
  std::string text = "bulkhead: ";
  if (level == log::Level::Warning) {
    text += "warning: ";
  }
  text += line;
  text += '\n';
  static_cast<void>(os::write_all(2, as_bytes(text)));
}

}  // namespace

int main(int argc, char** argv) {
  // A reader of our output that goes away, and a file size limit, are errors of write().
  std::ignore = std::signal(SIGPIPE, SIG_IGN);
  std::ignore = std::signal(SIGXFSZ, SIG_IGN);
  log::configure(log::Level::Info, print_line);
  if (const auto result = run(argc, argv); !result) {
    log::error("{}", result.error().message());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
