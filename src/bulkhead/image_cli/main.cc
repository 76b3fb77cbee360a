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
#include "bulkhead/config/paths.h"
#include "bulkhead/image_cli/command_line.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/registry_command_line.h"
#include "bulkhead/os/io.h"
#include "bulkhead/store/store.h"

// libexec/bulkhead-image: everything about images and registries that needs a network, hashes or
// archives. A program of its own so that `bulkhead run` loads none of those libraries.

namespace {

using namespace bulkhead;  // NOLINT(google-build-using-namespace): this file is the program

Result<> run(int argc, char** argv) {
  if (argc > 1 && image_cli::is_registry_command(argv[1])) {
    auto command = BH_TRY(image_cli::parse_registry_command_line(argc, argv));
    if (const auto* help = std::get_if<image_cli::Help>(&command)) {
      return image_cli::print(help->text);
    }
    return std::get<image_cli::RegistryCommand>(command)();
  }
  auto command = BH_TRY(image_cli::parse_command_line(argc, argv));
  if (const auto* help = std::get_if<image_cli::Help>(&command)) {
    return image_cli::print(help->text);
  }
  store::Store store = BH_TRY(store::Store::open(BH_TRY(config::Paths::from_environment())));
  return std::get<image_cli::Command>(command)(store);
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
