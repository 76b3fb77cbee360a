#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {

/// Whether somebody sees each piece before the reader does.
enum class Inspection : std::uint8_t { None, Each };

/// A stream between threads: one pushes, perhaps one inspects what was pushed, one reads what was
/// inspected. Holds a bounded number of bytes, in buffers that it uses again.
class PieceQueue final : public Reader {
 public:
  /// One piece always fits, whatever its size.
  PieceQueue(std::size_t most_bytes, Inspection inspection)
      : most_bytes_(most_bytes), inspection_(inspection) {}

  /// Copies the piece, when there is room for it. False: nobody reads any more.
  bool push(Bytes piece);

  /// After the last piece: how the stream ends.
  void finish(Result<> end);

  /// For the inspector: the next piece, which goes on to the reader with the next call; empty at
  /// the end. Errors: what the stream ended with; Cancelled when it was abandoned.
  Result<Bytes> inspect();

  /// After the last inspect(): how the stream ends for the reader.
  void finish_inspection(Result<> end);

  /// Nobody reads any more; whoever waits is woken up.
  void abandon();

  /// For the reader. Errors: those of finish_inspection(), without inspection those of finish();
  /// Cancelled when it was abandoned.
  Result<Bytes> next() override;

 private:
  const std::size_t most_bytes_;
  const Inspection inspection_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by the mutex.
  std::deque<std::vector<std::byte>> full_;
  std::size_t inspected_ = 0;   ///< of full_, from its front
  bool is_inspecting_ = false;  ///< the piece behind those
  std::vector<std::vector<std::byte>> empty_;
  std::size_t bytes_ = 0;  ///< in full_
  std::optional<Result<>> end_;
  std::optional<Result<>> inspected_end_;
  bool is_abandoned_ = false;
  /// The piece that the reader has.
  std::vector<std::byte> current_;
};

}  // namespace bulkhead::archive
