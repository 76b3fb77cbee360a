#include "bulkhead/program/run.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tuple>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"

namespace bulkhead::program {
namespace {

void print_line(log::Level level, std::string_view line) {
  std::string text = "bulkhead: ";
  if (level == log::Level::Warning) {
    text += "warning: ";
  }
  text += line;
  text += '\n';
  std::ignore = os::write_all(STDERR_FILENO, as_bytes(text));
}

}  // namespace

int run(int argc, char** argv, Result<> (*body)(int argc, char** argv)) {
  // A reader of our output that goes away, and a file size limit, are errors of write().
  std::ignore = std::signal(SIGPIPE, SIG_IGN);
  std::ignore = std::signal(SIGXFSZ, SIG_IGN);
  log::configure(log::Level::Info, print_line);
  if (const auto result = body(argc, argv); !result) {
    log::error("{}", result.error().message());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

Result<> print(std::string_view text) {
  return os::write_all(STDOUT_FILENO, as_bytes(text)).context("standard output");
}

}  // namespace bulkhead::program
