#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "bulkhead/archive/piece_queue.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/content.h"

// One layer on its way from a source to whoever applies it, each step on a thread of its own:
//
//   fetch:    source → size check → hash → blob file
//   inflate:  blob file, as far as it was written → inflate → queue
//   hash:     what is in the queue → hash of the tar stream
//   caller:   what was hashed, out of the queue → tar → ext4
//
// The blob file, in the page cache, is the buffer between the first two: a layer whose turn has not
// come is fetched whole while its later steps wait. So memory stays bounded and no connection
// idles.

namespace bulkhead::images {

/// A layer as the documents of an image promise it.
struct ImageLayer {
  oci::Descriptor blob;
  Digest diff_id;
};

struct LayerPipeOptions {
  std::optional<ImageLayer> promise;  ///< none for a layer that is new in the world
  std::uint64_t most_tar_bytes = 0;
  /// Whether a decoder that needs little memory runs before its turn, and how far.
  std::size_t inflate_ahead_bytes = 0;
  Progress* progress = nullptr;  ///< borrowed; called on the fetching thread
  /// Ends a wait of what `open` gave that may never end by itself; called on any thread.
  std::function<void()> interrupt = [] {};
};

class LayerPipe {
 public:
  /// Called on the fetching thread.
  using Open = std::move_only_function<Result<std::unique_ptr<archive::Reader>>()>;

  /// A layer that is not here: what `open` gives is written into `blob`.
  LayerPipe(LayerPipeOptions options, Open open, store::BlobWriter blob);

  /// A layer that is here: its file is checked and inflated.
  LayerPipe(LayerPipeOptions options, os::UniqueFd file);

  LayerPipe(const LayerPipe&) = delete;
  LayerPipe& operator=(const LayerPipe&) = delete;
  /// Gives everything up that is still going on.
  ~LayerPipe();

  /// The tar stream. The decoder begins now at the latest.
  archive::Reader& tar();

  /// A decoder of `next` that may take 128 MiB begins when this one's has ended, while the tail of
  /// this layer is still hashed and applied. So one layer at a time has such a decoder. To be
  /// called before tar(); `next` must outlive this pipe.
  void follow_with(LayerPipe& next);

  struct Finished {
    Digest digest;
    Digest diff_id;
    std::uint64_t tar_bytes = 0;
    std::optional<store::BlobWriter> blob;  ///< verified, to be kept
  };

  /// After the tar stream was read to its end, or after `applied` went wrong: what became of it.
  /// Errors: Corrupt when anything does not match what was promised, that of the source first, for
  /// whatever follows comes from it; else the error of `applied`.
  Result<Finished> finish(Result<> applied);

 private:
  class Follower;

  void start();
  void fetch();
  Result<> fetch_checked();
  void inflate();
  Result<> inflate_all();
  void hash();
  Result<> hash_all();
  void wait_for_turn();
  void give_turn();
  void stop();

  LayerPipeOptions options_;
  Open open_;
  std::optional<store::BlobWriter> blob_;
  os::UniqueFd file_;
  int blob_fd_;  ///< of either

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by the mutex.
  std::uint64_t available_ = 0;  ///< bytes of the blob that are in the file
  std::optional<Result<>> fetched_;
  bool has_turn_ = false;
  LayerPipe* next_ = nullptr;
  bool is_stopped_ = false;

  archive::PieceQueue queue_;
  // Of the fetching thread until it ends.
  std::optional<Digest> digest_;
  // Of the hashing thread until it ends.
  std::optional<Digest> diff_id_;
  std::uint64_t tar_bytes_ = 0;

  std::thread fetch_thread_;
  std::thread inflate_thread_;
  std::thread hash_thread_;
};

}  // namespace bulkhead::images
