#include "bulkhead/cli/relay.h"

#include <array>
#include <cstddef>
#include <functional>
#include <span>
#include <tuple>
#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/splice.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::cli {
namespace {

constexpr std::size_t kChunk = 1U << 20U;

Result<> copy_by_hand(int from, int to) {
  std::array<std::byte, 65536> buffer{};
  while (true) {
    const std::size_t n = BH_TRY(os::read_some(from, buffer));
    if (n == 0) {
      return {};
    }
    BH_TRY(os::write_all(to, std::span(buffer).first(n)));
  }
}

Result<> copy(int from, int to) {
  // Linux 6: splice from a terminal delivers late, or never. To a file it takes the position when
  // it is called and sets it when it returns: what others wrote meanwhile (`>file 2>&1`) is lost.
  if (os::is_terminal(from) || BH_TRY(os::file_info(to)).is_regular()) {
    return copy_by_hand(from, to);
  }
  while (true) {
    const auto moved = os::splice_some(from, to, kChunk);
    if (!moved) {
      // A file opened for appending, for example.
      return moved.error().code() == ErrorCode::Invalid ? copy_by_hand(from, to) : moved.error();
    }
    if (*moved == 0) {
      return {};
    }
  }
}

}  // namespace

Relay::Relay(int from, os::UniqueFd to, std::move_only_function<void()> finished)
    : thread_([from, to = std::move(to), finished = std::move(finished)]() mutable {
        // The other side's end (EPIPE) is an end like any other.
        std::ignore = copy(from, to.get());
        to.reset();
        finished();
      }) {}

}  // namespace bulkhead::cli
