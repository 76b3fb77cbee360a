#pragma once

#include <functional>
#include <thread>

#include "bulkhead/archive/piece_queue.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {

/// Reads another stream on a thread of its own, a bounded number of bytes ahead, so that a file is
/// read, or a stream inflated, while what came before is used.
class ReadAhead final : public Reader {
 public:
  /// `source` is borrowed, and the thread's from now on. The destructor waits for the thread:
  /// `interrupt`, called there, must end a wait of the source that may never end by itself.
  explicit ReadAhead(Reader& source, std::function<void()> interrupt = [] {});

  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead() override;

  Result<Bytes> next() override { return queue_.next(); }

 private:
  std::function<void()> interrupt_;
  PieceQueue queue_;
  std::thread thread_;
};

}  // namespace bulkhead::archive
