#include "bulkhead/archive/piece_queue.h"

#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {
namespace {

/// The end of a stream as its last piece.
Result<Bytes> last_piece(const Result<>& end) {
  return end.has_value() ? Result<Bytes>(Bytes{}) : Result<Bytes>(end.error());
}

}  // namespace

bool PieceQueue::push(Bytes piece) {
  std::vector<std::byte> buffer;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return is_abandoned_ || full_.empty() || bytes_ + piece.size() <= most_bytes_;
    });
    if (is_abandoned_) {
      return false;
    }
    if (!empty_.empty()) {
      buffer = std::move(empty_.back());
      empty_.pop_back();
    }
  }
  buffer.assign(piece.begin(), piece.end());
  {
    const std::lock_guard lock(mutex_);
    bytes_ += buffer.size();
    full_.push_back(std::move(buffer));
    inspected_ += inspection_ == Inspection::None ? 1 : 0;
  }
  changed_.notify_all();
  return true;
}

void PieceQueue::finish(Result<> end) {
  {
    const std::lock_guard lock(mutex_);
    if (inspection_ == Inspection::None) {
      inspected_end_ = end;
    }
    end_ = std::move(end);
  }
  changed_.notify_all();
}

Result<Bytes> PieceQueue::inspect() {
  std::unique_lock lock(mutex_);
  if (std::exchange(is_inspecting_, false)) {
    ++inspected_;
    changed_.notify_all();
  }
  changed_.wait(lock, [&] { return is_abandoned_ || full_.size() > inspected_ || end_; });
  if (is_abandoned_) {
    return fail(ErrorCode::Cancelled, "cancelled");
  }
  if (full_.size() == inspected_) {
    return last_piece(*end_);
  }
  is_inspecting_ = true;
  // The others only add behind it and take away before it, which moves no element of a deque.
  return Bytes(full_[inspected_]);
}

void PieceQueue::finish_inspection(Result<> end) {
  {
    const std::lock_guard lock(mutex_);
    inspected_end_ = std::move(end);
  }
  changed_.notify_all();
}

void PieceQueue::abandon() {
  {
    const std::lock_guard lock(mutex_);
    is_abandoned_ = true;
  }
  changed_.notify_all();
}

Result<Bytes> PieceQueue::next() {
  {
    std::unique_lock lock(mutex_);
    if (current_.capacity() > 0) {
      empty_.push_back(std::exchange(current_, {}));
    }
    changed_.wait(lock, [&] { return is_abandoned_ || inspected_ > 0 || inspected_end_; });
    if (is_abandoned_) {
      return fail(ErrorCode::Cancelled, "cancelled");
    }
    if (inspected_ == 0) {
      return last_piece(*inspected_end_);
    }
    current_ = std::move(full_.front());
    full_.pop_front();
    --inspected_;
    bytes_ -= current_.size();
  }
  changed_.notify_all();
  return Bytes(current_);
}

}  // namespace bulkhead::archive
