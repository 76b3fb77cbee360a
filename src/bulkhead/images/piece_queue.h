#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::images {

/// A stream between two threads: one pushes, another reads what was pushed. Holds a bounded number
/// of bytes, in buffers that it uses again.
class PieceQueue final : public archive::Reader {
 public:
  /// One piece always fits, whatever its size.
  explicit PieceQueue(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  /// Copies the piece, when there is room for it. False: nobody reads any more.
  bool push(Bytes piece);

  /// From now on.
  void set_limit(std::size_t most_bytes);

  /// After the last piece: how the stream ends.
  void finish(Result<> end);

  /// Nobody reads any more; who waits on either side is woken up.
  void abandon();

  /// Errors: what the stream ended with; Cancelled when it was abandoned.
  Result<Bytes> next() override;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by the mutex.
  std::size_t most_bytes_;
  std::deque<std::vector<std::byte>> full_;
  std::vector<std::vector<std::byte>> empty_;
  std::size_t bytes_ = 0;  ///< in full_
  std::optional<Result<>> end_;
  bool is_abandoned_ = false;
  /// The piece that the reader has.
  std::vector<std::byte> current_;
};

}  // namespace bulkhead::images
