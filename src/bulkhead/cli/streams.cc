#include "bulkhead/cli/streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/relay.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::cli {
namespace {

/// The reading end, opened before anybody writes: a shim that opens its end without waiting finds
/// a reader.
Result<os::UniqueFd> make_output(const std::string& path) {
  BH_TRY(os::make_fifo(path));
  os::UniqueFd fd = BH_TRY(os::open_file(path, O_RDONLY | O_NONBLOCK));
  BH_TRY(os::set_nonblocking(fd.get(), false));
  return fd;
}

}  // namespace

Result<Streams> Streams::make(const std::string& directory, const std::string& prefix,
                              const Wanted& wanted) {
  Streams streams;
  const std::string base = directory + "/" + prefix;
  if (wanted.input) {
    streams.input_path_ = base + "stdin";
    BH_TRY(os::make_fifo(streams.input_path_));
  }
  if (wanted.output) {
    streams.output_path_ = base + "stdout";
    streams.output_ = BH_TRY(make_output(streams.output_path_));
  }
  if (wanted.errors) {
    streams.errors_path_ = base + "stderr";
    streams.errors_ = BH_TRY(make_output(streams.errors_path_));
  }
  return streams;
}

Streams::~Streams() {
  for (const std::string& path : {input_path_, output_path_, errors_path_}) {
    if (!path.empty()) {
      std::ignore = os::remove_file(path);
    }
  }
}

Result<> Streams::start(std::move_only_function<void()> input_ended) {
  if (output_.is_open()) {
    const int from = output_.get();
    outputs_.emplace_back(from, BH_TRY(os::duplicate(STDOUT_FILENO)), [] {});
  }
  if (errors_.is_open()) {
    const int from = errors_.get();
    outputs_.emplace_back(from, BH_TRY(os::duplicate(STDERR_FILENO)), [] {});
  }
  if (!input_path_.empty()) {
    // Without waiting: the shim holds the other end, or is gone.
    os::UniqueFd to = BH_TRY(os::open_file(input_path_, O_WRONLY | O_NONBLOCK));
    BH_TRY(os::set_nonblocking(to.get(), false));
    Relay(STDIN_FILENO, std::move(to), std::move(input_ended)).abandon();
  }
  return {};
}

void Streams::finish() {
  for (Relay& relay : outputs_) {
    relay.join();
  }
  outputs_.clear();
}

}  // namespace bulkhead::cli
