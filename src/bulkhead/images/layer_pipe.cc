#include "bulkhead/images/layer_pipe.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/archive/piece_queue.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/content.h"

namespace bulkhead::images {
namespace {

/// What may lie between two threads. More makes nothing faster, and a decoder beside it may have
/// taken 128 MiB.
constexpr std::size_t kQueuedBytes = std::size_t{256} << 10U;
constexpr std::size_t kReadBytes = std::size_t{64} << 10U;

}  // namespace

/// Reads the blob's file as it grows.
class LayerPipe::Follower final : public archive::Reader {
 public:
  explicit Follower(LayerPipe& pipe) : pipe_(pipe), buffer_(kReadBytes) {}

  Result<Bytes> next() override {
    std::uint64_t available = 0;
    {
      std::unique_lock lock(pipe_.mutex_);
      pipe_.changed_.wait(lock, [&] {
        return pipe_.is_stopped_ || pipe_.available_ > position_ || pipe_.fetched_.has_value();
      });
      if (pipe_.is_stopped_) {
        return fail(ErrorCode::Cancelled, "cancelled");
      }
      if (pipe_.fetched_ && !pipe_.fetched_->has_value()) {
        return pipe_.fetched_->error();
      }
      available = pipe_.available_;
    }
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(available - position_, buffer_.size()));
    BH_TRY(os::pread_exactly(pipe_.blob_fd_, MutableBytes(buffer_).first(size), position_));
    position_ += size;
    return Bytes(buffer_).first(size);
  }

 private:
  LayerPipe& pipe_;
  std::vector<std::byte> buffer_;
  std::uint64_t position_ = 0;
};

LayerPipe::LayerPipe(LayerPipeOptions options, Open open, store::BlobWriter blob)
    : options_(std::move(options)),
      open_(std::move(open)),
      blob_(std::move(blob)),
      blob_fd_(blob_->fd()),
      queue_(std::max(kQueuedBytes, options_.inflate_ahead_bytes), archive::Inspection::Each) {
  start();
}

LayerPipe::LayerPipe(LayerPipeOptions options, os::UniqueFd file)
    : options_(std::move(options)),
      file_(std::move(file)),
      blob_fd_(file_.get()),
      queue_(std::max(kQueuedBytes, options_.inflate_ahead_bytes), archive::Inspection::Each) {
  start();
}

LayerPipe::~LayerPipe() {
  stop();
  for (std::thread* thread : {&fetch_thread_, &inflate_thread_, &hash_thread_}) {
    if (thread->joinable()) {
      thread->join();
    }
  }
}

void LayerPipe::start() {
  fetch_thread_ = std::thread([this] { fetch(); });
  inflate_thread_ = std::thread([this] { inflate(); });
  hash_thread_ = std::thread([this] { hash(); });
}

void LayerPipe::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_all();
  queue_.abandon();
  options_.interrupt();
}

void LayerPipe::fetch() {
  auto result = fetch_checked();
  {
    const std::lock_guard lock(mutex_);
    fetched_ = std::move(result);
  }
  changed_.notify_all();
}

Result<> LayerPipe::fetch_checked() {
  std::unique_ptr<archive::Reader> source;
  if (blob_) {
    source = BH_TRY(open_());
  } else {
    source = std::make_unique<archive::FdReader>(blob_fd_);
  }
  const oci::Descriptor* promised = options_.promise ? &options_.promise->blob : nullptr;
  BoundedReader bounded(*source, promised != nullptr ? promised->size : UINT64_MAX);
  hash::Hasher hasher =
      BH_TRY(promised != nullptr ? hash::Hasher::create(promised->digest.algorithm())
                                 : hash::Hasher::create());
  archive::HashingReader hashing(bounded, hasher);
  KeepingReader keeping(hashing, blob_ ? &*blob_ : nullptr);
  while (true) {
    const Bytes piece = BH_TRY(keeping.next());
    if (piece.empty()) {
      break;
    }
    if (promised != nullptr && options_.progress != nullptr) {
      options_.progress->layer_advanced(promised->digest, piece.size());
    }
    {
      const std::lock_guard lock(mutex_);
      if (is_stopped_) {
        return fail(ErrorCode::Cancelled, "cancelled");
      }
      available_ += piece.size();
    }
    changed_.notify_all();
  }
  if (promised != nullptr && hashing.bytes_read() != promised->size) {
    return fail(ErrorCode::Corrupt, "it has {} bytes where its descriptor promises {}",
                hashing.bytes_read(), promised->size);
  }
  digest_ = hasher.finish();
  if (promised != nullptr && *digest_ != promised->digest) {
    return fail(ErrorCode::Corrupt, "its content does not match its digest: it has {}",
                digest_->text());
  }
  return {};
}

void LayerPipe::wait_for_turn() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return has_turn_ || is_stopped_; });
}

void LayerPipe::give_turn() {
  {
    const std::lock_guard lock(mutex_);
    has_turn_ = true;
  }
  changed_.notify_all();
}

void LayerPipe::follow_with(LayerPipe& next) {
  const std::lock_guard lock(mutex_);
  next_ = &next;
}

void LayerPipe::inflate() {
  queue_.finish(inflate_all());
  LayerPipe* next = nullptr;
  {
    const std::lock_guard lock(mutex_);
    next = is_stopped_ ? nullptr : next_;
  }
  if (next != nullptr) {
    next->give_turn();
  }
}

Result<> LayerPipe::inflate_all() {
  if (options_.inflate_ahead_bytes == 0) {
    wait_for_turn();
  }
  Follower follower(*this);
  PeekingReader peeking(follower);
  const archive::Compression compression =
      archive::detect_compression(BH_TRY(peeking.peek(archive::kMagicBytes)));
  if (compression != archive::Compression::None && compression != archive::Compression::Gzip) {
    wait_for_turn();
  }
  const std::unique_ptr<archive::Reader> inflater = BH_TRY(
      archive::make_inflater(compression, peeking, {.output_bytes = options_.most_tar_bytes}));
  while (true) {
    const Bytes piece = BH_TRY(inflater->next());
    if (piece.empty() || !queue_.push(piece)) {
      return {};
    }
  }
}

void LayerPipe::hash() { queue_.finish_inspection(hash_all()); }

Result<> LayerPipe::hash_all() {
  hash::Hasher hasher =
      BH_TRY(options_.promise ? hash::Hasher::create(options_.promise->diff_id.algorithm())
                              : hash::Hasher::create());
  while (true) {
    const Bytes piece = BH_TRY(queue_.inspect());
    if (piece.empty()) {
      break;
    }
    hasher.update(piece);
    tar_bytes_ += piece.size();
  }
  diff_id_ = hasher.finish();
  return {};
}

archive::Reader& LayerPipe::tar() {
  give_turn();
  return queue_;
}

Result<LayerPipe::Finished> LayerPipe::finish(Result<> applied) {
  // Whether what was applied came as promised is worth knowing only where it may be to blame.
  if (!applied && (!options_.promise || applied.error().code() != ErrorCode::Corrupt)) {
    return std::move(applied).error();
  }
  fetch_thread_.join();
  BH_TRY(std::move(*fetched_));
  BH_TRY(std::move(applied));
  inflate_thread_.join();
  hash_thread_.join();
  if (options_.promise && *diff_id_ != options_.promise->diff_id) {
    return fail(ErrorCode::Corrupt,
                "its tar stream does not match the image config: it has {}, diff_ids say {}",
                diff_id_->text(), options_.promise->diff_id.text());
  }
  return Finished{.digest = *std::move(digest_),
                  .diff_id = *std::move(diff_id_),
                  .tar_bytes = tar_bytes_,
                  .blob = std::move(blob_)};
}

}  // namespace bulkhead::images
