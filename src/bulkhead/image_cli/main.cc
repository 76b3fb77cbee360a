#include <string>
#include <variant>
#include <vector>

#include <malloc.h>

#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/image_cli/command_line.h"
#include "bulkhead/image_cli/registry_command_line.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/program/run.h"
#include "bulkhead/store/store.h"

// libexec/bulkhead-image: everything about images and registries that needs a network, hashes or
// archives. A program of its own so that `bulkhead run` loads none of those libraries.

namespace {

using namespace bulkhead;  // NOLINT(google-build-using-namespace): this file is the program

Result<> complete(const std::vector<std::string>& words) {
  program::be_silent();
  return image_cli::is_registry_command(words.front()) ? image_cli::print_registry_candidates(words)
                                                       : image_cli::print_candidates(words);
}

Result<> body(int argc, char** argv) {
  if (const auto words = program::words_to_complete(argc, argv); !words.empty()) {
    return complete(words);
  }
  if (argc > 1 && image_cli::is_registry_command(argv[1])) {
    auto command = BH_TRY(image_cli::parse_registry_command_line(argc, argv));
    if (const auto* help = std::get_if<image_cli::Help>(&command)) {
      return program::print(help->text);
    }
    return std::get<image_cli::RegistryCommand>(command)();
  }
  auto command = BH_TRY(image_cli::parse_command_line(argc, argv));
  if (const auto* help = std::get_if<image_cli::Help>(&command)) {
    return program::print(help->text);
  }
  store::Store store = BH_TRY(store::Store::open(BH_TRY(config::Paths::from_environment())));
  return std::get<image_cli::Command>(command)(store);
}

}  // namespace

int main(int argc, char** argv) {
  // One for all threads, which allocate seldom: of its own each would keep what it has freed, and a
  // pull may take no more than 150 MiB where a decoder alone takes 128.
  ::mallopt(M_ARENA_MAX, 1);
  return program::run(argc, argv, body);
}
