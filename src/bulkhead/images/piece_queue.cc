#include "bulkhead/images/piece_queue.h"

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::images {

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
  }
  changed_.notify_all();
  return true;
}

void PieceQueue::set_limit(std::size_t most_bytes) {
  const std::lock_guard lock(mutex_);
  most_bytes_ = most_bytes;
}

void PieceQueue::finish(Result<> end) {
  {
    const std::lock_guard lock(mutex_);
    end_ = std::move(end);
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
    changed_.wait(lock, [&] { return is_abandoned_ || !full_.empty() || end_.has_value(); });
    if (is_abandoned_) {
      return fail(ErrorCode::Cancelled, "cancelled");
    }
    if (full_.empty()) {
      if (!end_->has_value()) {
        return end_->error();
      }
      return Bytes{};
    }
    current_ = std::move(full_.front());
    full_.pop_front();
    bytes_ -= current_.size();
  }
  changed_.notify_all();
  return Bytes(current_);
}

}  // namespace bulkhead::images
