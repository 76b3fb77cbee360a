#include "bulkhead/images/fetch_layers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/images/checked_source.h"
#include "bulkhead/images/layer.h"
#include "bulkhead/images/layer_pipe.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/images/root_maker.h"
#include "bulkhead/images/root_record.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {
namespace {

/// Of one layer, and of all together.
constexpr std::size_t kMostInflatedAhead = std::size_t{8} << 20U;
constexpr std::size_t kAllInflatedAhead = 3 * kMostInflatedAhead;

/// A decoder for zstd may take 128 MiB: beside one nothing else is to lie in memory.
bool has_small_decoders(const std::vector<ImageLayer>& layers) {
  return std::ranges::none_of(
      layers, [](const ImageLayer& layer) { return layer.blob.media_type.ends_with("zstd"); });
}

class LayerFetcher {
 public:
  LayerFetcher(store::Ingest& ingest, CheckedSource& source, const LayerOptions& options,
               const std::vector<ImageLayer>& layers)
      : ingest_(ingest),
        source_(source),
        progress_(options.progress),
        layers_at_once_(std::max<std::size_t>(options.layers_at_once, 1)),
        layers_(layers),
        inflate_ahead_bytes_(has_small_decoders(layers)
                                 ? std::min(kMostInflatedAhead, kAllInflatedAhead / layers_at_once_)
                                 : 0) {}

  Result<std::uint64_t> run(const Digest& chain) {
    if (const std::optional<std::uint64_t> present = BH_TRY(ingest_.root(chain))) {
      std::ignore = BH_TRY(bring(nullptr));
      return *present;
    }
    auto made = unpack();
    if (!made && replay_failed_) {
      log::warning("{}: the layers are inflated instead", made.error().message());
      is_sharing_ = false;
      made = unpack();
    }
    return made;
  }

 private:
  /// A layer under way. Neither: nothing is to be done.
  struct Step {
    std::unique_ptr<LayerPipe> pipe;
    std::optional<SharedLayer> shared;
  };

  Result<std::uint64_t> unpack() {
    RootMaker root = BH_TRY(RootMaker::create(BH_TRY(ingest_.create_root())));
    const std::uint64_t total = BH_TRY(bring(&root));
    BH_TRY(root.finish());
    return total;
  }

  /// Without a root, only the blobs. Returns the bytes of the tar streams that were read.
  Result<std::uint64_t> bring(RootMaker* root) {
    std::vector<Step> steps(layers_.size());
    std::size_t started = 0;
    std::uint64_t total = 0;
    for (std::size_t index = 0; index < layers_.size(); ++index) {
      for (; started < layers_.size() && may_start(index, started); ++started) {
        steps[started] = BH_TRY(start(layers_[started], root != nullptr));
      }
      const Step step = std::exchange(steps[index], {});
      const auto next =
          std::ranges::find_if(steps, [](const Step& other) { return other.pipe != nullptr; });
      if (step.pipe != nullptr && next != steps.end()) {
        step.pipe->follow_with(*next->pipe);
      }
      total += BH_TRY(finish(layers_[index], step, root, kMostUnpackedBytes - total)
                          .context("layer " + layers_[index].blob.digest.text()));
    }
    return total;
  }

  /// Some layers are fetched ahead; but one that is there twice is fetched once.
  [[nodiscard]] bool may_start(std::size_t index, std::size_t next) const {
    if (next >= index + layers_at_once_) {
      return false;
    }
    for (std::size_t other = index; other < next; ++other) {
      if (layers_[other].blob.digest == layers_[next].blob.digest) {
        return false;
      }
    }
    return true;
  }

  Result<Step> start(const ImageLayer& layer, bool makes_root) {
    Step step;
    const bool is_kept = ingest_.has(layer.blob.digest);
    if (is_kept && makes_root && is_sharing_) {
      step.shared = BH_TRY(find_shared(layer));
    }
    if (step.shared || (is_kept && !makes_root)) {
      progress_.layer_present(layer.blob.digest);
      return step;
    }
    progress_.layer_started(layer.blob.digest, layer.blob.size);
    LayerPipeOptions options{.promise = {{layer.blob, layer.diff_id}},
                             .most_tar_bytes = kMostUnpackedBytes,
                             .inflate_ahead_bytes = inflate_ahead_bytes_,
                             .progress = &progress_};
    if (is_kept) {
      os::UniqueFd file = BH_TRY(ingest_.open(layer.blob.digest));
      step.pipe = std::make_unique<LayerPipe>(std::move(options), std::move(file));
      return step;
    }
    store::BlobWriter blob = BH_TRY(ingest_.create_blob());
    step.pipe = std::make_unique<LayerPipe>(
        std::move(options), [this, &layer] { return source_.open(layer.blob); }, std::move(blob));
    return step;
  }

  /// The layer in another root that is there.
  Result<std::optional<SharedLayer>> find_shared(const ImageLayer& layer) {
    const std::optional<Digest> chain =
        BH_TRY(ingest_.chain_with({.blob = layer.blob.digest, .diff_id = layer.diff_id}));
    if (!chain) {
      return std::nullopt;
    }
    if (chain != record_chain_) {
      record_chain_ = chain;
      record_ = open_record(*chain);
    }
    const auto found = record_ != nullptr ? record_->find(layer.diff_id) : std::nullopt;
    return found ? std::optional(SharedLayer{record_, *found}) : std::nullopt;
  }

  std::shared_ptr<const RootRecord> open_record(const Digest& chain) {
    auto record = [&]() -> Result<RootRecord> {
      return RootRecord::open(BH_TRY(ingest_.open_root(chain)));
    }();
    // None: the root is of a release that made none.
    if (!record && record.error().code() != ErrorCode::NotFound) {
      log::warning("root {}: {}: its layers are inflated instead", chain.text(),
                   record.error().message());
    }
    if (!record) {
      return nullptr;
    }
    return std::make_shared<const RootRecord>(*std::move(record));
  }

  Result<std::uint64_t> finish(const ImageLayer& layer, const Step& step, RootMaker* root,
                               std::uint64_t most_tar_bytes) {
    if (step.shared) {
      const std::uint64_t tar_bytes = step.shared->layer.tar_bytes;
      BH_TRY(check_budget(tar_bytes, most_tar_bytes));
      auto replayed = root->replay(*step.shared);
      // A full disk would be full again.
      replay_failed_ = !replayed && replayed.error().code() != ErrorCode::NoSpace;
      BH_TRY(std::move(replayed));
      return tar_bytes;
    }
    if (step.pipe == nullptr) {
      return 0;
    }
    LayerPipe::Finished done = BH_TRY(apply_layer(*step.pipe, root, most_tar_bytes));
    if (done.blob) {
      BH_TRY(ingest_.keep(*std::move(done.blob), layer.blob.digest));
    }
    progress_.layer_finished(layer.blob.digest);
    return done.tar_bytes;
  }

  store::Ingest& ingest_;
  CheckedSource& source_;
  Progress& progress_;
  std::size_t layers_at_once_;
  const std::vector<ImageLayer>& layers_;
  std::size_t inflate_ahead_bytes_;
  bool is_sharing_ = true;
  bool replay_failed_ = false;
  /// The record that was opened last, null when it is of no use: mostly the next layer is in it,
  /// too.
  std::optional<Digest> record_chain_;
  std::shared_ptr<const RootRecord> record_;
};

}  // namespace

Result<std::uint64_t> fetch_layers(store::Ingest& ingest, CheckedSource& source,
                                   const LayerOptions& options,
                                   const std::vector<ImageLayer>& layers, const Digest& chain) {
  return LayerFetcher(ingest, source, options, layers).run(chain);
}

}  // namespace bulkhead::images
