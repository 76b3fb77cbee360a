#include "bulkhead/images/verify.h"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/layer.h"
#include "bulkhead/images/layer_pipe.h"
#include "bulkhead/images/root_maker.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

/// Where data begins in one of two files, at `at` or after it; where they end, if nowhere.
Result<std::uint64_t> next_data_of(int one, int other, std::uint64_t at) {
  const auto left = BH_TRY(os::next_data(one, at));
  const auto right = BH_TRY(os::next_data(other, at));
  const std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
  return std::min(left ? left->offset : end, right ? right->offset : end);
}

/// Whether two files hold the same bytes, the first one perhaps with a hole after them. Holes are
/// not read.
Result<bool> is_equal(int one, int other) {
  static constexpr std::size_t kPiece = std::size_t{1} << 20U;
  std::vector<std::byte> left(kPiece);
  std::vector<std::byte> right(kPiece);
  if (BH_TRY(os::file_space(one)).size < BH_TRY(os::file_space(other)).size) {
    return false;
  }
  for (std::uint64_t at = BH_TRY(next_data_of(one, other, 0));
       at != std::numeric_limits<std::uint64_t>::max(); at = BH_TRY(next_data_of(one, other, at))) {
    const std::size_t left_size = BH_TRY(os::pread_some(one, left, at));
    const std::size_t right_size = BH_TRY(os::pread_some(other, right, at));
    const std::size_t size = std::min(left_size, right_size);
    if (size == 0 || !std::ranges::equal(Bytes(left).first(size), Bytes(right).first(size))) {
      return false;
    }
    at += size;
  }
  return true;
}

class Verifier {
 public:
  Verifier(store::Store& store, VerifyMode mode) : store_(store), mode_(mode) {}

  Result<VerifyReport> run() {
    // A session: leftovers of dead ones go, nothing is collected meanwhile, and roots can be made.
    store::Ingest ingest = BH_TRY(store_.begin_ingest());
    for (const Digest& digest : BH_TRY(store_.blobs())) {
      BH_TRY(check_blob(digest));
    }
    std::vector<std::string> missing = BH_TRY(store_.check_catalog());
    std::ranges::move(missing, std::back_inserter(report_.damage));
    std::set<std::string> chains;
    for (const store::ImageRecord& record : BH_TRY(store_.list())) {
      if (record.chain && chains.insert(record.chain->text()).second) {
        BH_TRY(check_root(ingest, record, *record.chain));
      }
    }
    return std::move(report_);
  }

 private:
  Result<> check_blob(const Digest& digest) {
    os::UniqueFd fd = BH_TRY(store_.open_blob(digest));
    FileReader file(std::move(fd));
    hash::Hasher hasher = BH_TRY(hash::Hasher::create(digest.algorithm()));
    archive::HashingReader hashing(file, hasher);
    const auto drained = archive::drain(hashing);
    ++report_.blobs;
    report_.bytes += hashing.bytes_read();
    if (drained && hasher.finish() == digest) {
      return {};
    }
    report_.damage.push_back(
        "blob " + digest.text() + ": " +
        (drained ? "its content has another digest" : drained.error().message()));
    return mode_ == VerifyMode::Repair ? os::remove_file(store_.layout().blob(digest)) : Result<>();
  }

  Result<> check_root(store::Ingest& ingest, const store::ImageRecord& record,
                      const Digest& chain) {
    BH_TRY(ingest.lock_chain(chain));
    const std::string path = store_.layout().root(chain);
    const auto present = os::open_file(path, O_RDONLY);
    const auto layers = os::open_file(store_.layout().root_record(chain), O_RDONLY);
    ++report_.roots;
    RootMaker root = BH_TRY(RootMaker::create(BH_TRY(ingest.create_root())));
    const auto made = make_root(ingest, record, root);
    if (!made) {
      if (made.error().code() == ErrorCode::NoSpace) {
        return made.error();
      }
      damaged(record, "it cannot be compared with its layers: " + made.error().message());
      return ingest.drop_root();
    }
    report_.bytes += *made;
    const bool is_whole = present && BH_TRY(is_equal(present->get(), root.files().image.get()));
    // None: the root is of a release that made none.
    const bool has_good_record =
        !layers || BH_TRY(is_equal(layers->get(), root.files().record.get()));
    if (is_whole && has_good_record) {
      return ingest.drop_root();
    }
    if (present && !is_whole) {  // An absent one was reported.
      damaged(record, "it is not what its layers give");
    }
    if (!has_good_record) {
      damaged(record, "the record of its layers is not what they give");
    }
    return mode_ == VerifyMode::Repair ? ingest.replace_root(chain) : ingest.drop_root();
  }

  void damaged(const store::ImageRecord& record, const std::string& what) {
    report_.damage.push_back("root " + record.chain->text() + " of " + record.reference + ": " +
                             what);
  }

  /// Returns bytes of tar.
  Result<std::uint64_t> make_root(const store::Ingest& ingest, const store::ImageRecord& record,
                                  RootMaker& root) {
    const std::string manifest_text = BH_TRY(ingest.read(record.manifest, oci::kLargestDocument));
    const oci::Manifest manifest = BH_TRY(oci::parse_manifest(manifest_text));
    const std::string config_text = BH_TRY(ingest.read(record.config, oci::kLargestDocument));
    const oci::ImageConfig config = BH_TRY(oci::ImageConfig::parse(config_text));
    if (manifest.layers.size() != config.diff_ids.size()) {
      return fail(ErrorCode::Corrupt, "its manifest and its config disagree");
    }
    std::uint64_t total = 0;
    for (std::size_t index = 0; index < manifest.layers.size(); ++index) {
      os::UniqueFd blob = BH_TRY(ingest.open(manifest.layers[index].digest));
      LayerPipe pipe({.promise = {{manifest.layers[index], config.diff_ids[index]}},
                      .most_tar_bytes = kMostUnpackedBytes},
                     std::move(blob));
      const LayerPipe::Finished done =
          BH_TRY(apply_layer(pipe, &root, kMostUnpackedBytes - total)
                     .context("layer " + manifest.layers[index].digest.text()));
      total += done.tar_bytes;
    }
    BH_TRY(root.finish());
    return total;
  }

  store::Store& store_;
  VerifyMode mode_;
  VerifyReport report_;
};

}  // namespace

Result<VerifyReport> verify(store::Store& store, VerifyMode mode) {
  auto report = Verifier(store, mode).run().context("verify");
  if (report) {
    BH_TRY(store.collect_garbage());
  }
  return report;
}

}  // namespace bulkhead::images
