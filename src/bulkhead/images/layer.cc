#include "bulkhead/images/layer.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/tar_importer.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {
namespace {

/// Tells how far a layer is.
class ReportingReader final : public archive::Reader {
 public:
  ReportingReader(archive::Reader& source, const Digest& digest, Progress* progress)
      : source_(source), digest_(digest), progress_(progress) {}

  Result<Bytes> next() override {
    const Bytes piece = BH_TRY(source_.next());
    if (progress_ != nullptr) {
      progress_->layer_advanced(digest_, piece.size());
    }
    return piece;
  }

 private:
  archive::Reader& source_;
  const Digest& digest_;
  Progress* progress_;
};

struct Unpacked {
  Digest diff_id;
  std::uint64_t bytes;
};

/// Inflates, hashes the tar stream and applies it.
Result<Unpacked> unpack(archive::Reader& compressed, const LayerWork& work) {
  const archive::DetectedInflater inflater =
      BH_TRY(archive::detect_inflater(compressed, {.output_bytes = work.most_tar_bytes}));
  hash::Hasher hasher = BH_TRY(hash::Hasher::create(work.diff_id.algorithm()));
  archive::HashingReader tar(*inflater.reader, hasher);
  if (work.formatter != nullptr) {
    PaddingReader padded(tar);
    BH_TRY(ext4::apply_layer(*work.formatter, padded));
  }
  // Also what stands after the end of the archive belongs to the digests.
  std::ignore = BH_TRY(archive::drain(tar));
  std::ignore = BH_TRY(archive::drain(compressed));
  return Unpacked{hasher.finish(), tar.bytes_read()};
}

Result<> check_blob(const oci::Descriptor& descriptor, std::uint64_t size, const Digest& digest) {
  if (size != descriptor.size) {
    return fail(ErrorCode::Corrupt, "it has {} bytes where its descriptor promises {}", size,
                descriptor.size);
  }
  if (digest != descriptor.digest) {
    return fail(ErrorCode::Corrupt, "its content does not match its digest: it has {}",
                digest.text());
  }
  return {};
}

Result<std::uint64_t> stream_checked(archive::Reader& source, const LayerWork& work) {
  BoundedReader bounded(source, work.descriptor.size);
  ReportingReader reporting(bounded, work.descriptor.digest, work.progress);
  hash::Hasher hasher = BH_TRY(hash::Hasher::create(work.descriptor.digest.algorithm()));
  archive::HashingReader hashing(reporting, hasher);
  std::optional<store::BlobWriter> blob;
  if (work.keep_in != nullptr) {
    blob = BH_TRY(work.keep_in->create_blob());
  }
  KeepingReader keeping(hashing, blob ? &*blob : nullptr);
  auto unpacked = unpack(keeping, work);
  if (!unpacked && unpacked.error().code() == ErrorCode::Corrupt) {
    // Was it the transport that damaged it? Then that is the error to report.
    if (archive::drain(hashing)) {
      BH_TRY(check_blob(work.descriptor, hashing.bytes_read(), hasher.finish()));
    }
  }
  if (!unpacked) {
    return std::move(unpacked).error();
  }
  BH_TRY(check_blob(work.descriptor, hashing.bytes_read(), hasher.finish()));
  if (unpacked->diff_id != work.diff_id) {
    return fail(ErrorCode::Corrupt,
                "its tar stream does not match the image config: it has {}, diff_ids say {}",
                unpacked->diff_id.text(), work.diff_id.text());
  }
  if (blob) {
    BH_TRY(work.keep_in->keep(*std::move(blob), work.descriptor.digest));
  }
  return unpacked->bytes;
}

}  // namespace

Result<Digest> chain_id(const std::vector<Digest>& diff_ids) {
  if (diff_ids.empty()) {
    return hash::digest_of({});
  }
  Digest chain = diff_ids.front();
  for (std::size_t index = 1; index < diff_ids.size(); ++index) {
    const std::string pair = chain.text() + " " + diff_ids[index].text();
    chain = BH_TRY(hash::digest_of(as_bytes(pair)));
  }
  return chain;
}

Result<std::uint64_t> stream_layer(archive::Reader& source, const LayerWork& work) {
  if (work.progress != nullptr) {
    work.progress->layer_started(work.descriptor.digest, work.descriptor.size);
  }
  const std::uint64_t bytes =
      BH_TRY(stream_checked(source, work).context("layer " + work.descriptor.digest.text()));
  if (work.progress != nullptr) {
    work.progress->layer_finished(work.descriptor.digest);
  }
  return bytes;
}

}  // namespace bulkhead::images
