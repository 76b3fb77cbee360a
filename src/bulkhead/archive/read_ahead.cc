#include "bulkhead/archive/read_ahead.h"

#include <cstddef>
#include <functional>
#include <thread>
#include <utility>

#include "bulkhead/archive/piece_queue.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {
namespace {

constexpr std::size_t kQueuedBytes = std::size_t{1} << 20U;

Result<> pass_on(Reader& source, PieceQueue& queue) {
  while (true) {
    const Bytes piece = BH_TRY(source.next());
    if (piece.empty() || !queue.push(piece)) {
      return {};
    }
  }
}

}  // namespace

ReadAhead::ReadAhead(Reader& source, std::function<void()> interrupt)
    : interrupt_(std::move(interrupt)),
      queue_(kQueuedBytes, Inspection::None),
      thread_([this, &source] { queue_.finish(pass_on(source, queue_)); }) {}

ReadAhead::~ReadAhead() {
  queue_.abandon();
  interrupt_();
  thread_.join();
}

}  // namespace bulkhead::archive
