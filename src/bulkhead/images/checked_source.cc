#include "bulkhead/images/checked_source.h"

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {
namespace {

Error mismatch(const oci::Descriptor& descriptor, const Digest& digest, std::uint64_t size) {
  return fail(ErrorCode::Corrupt, "blob {}: its content does not match: it has {}, {} bytes",
              descriptor.digest.text(), digest.text(), size);
}

/// Tells of the bytes that pass through. Borrows all; without a listener it only passes them.
class TellingReader final : public archive::Reader {
 public:
  TellingReader(archive::Reader& source, const Digest& digest, Progress* progress)
      : source_(source), digest_(digest), progress_(progress) {}

  Result<Bytes> next() override {
    const Bytes piece = BH_TRY(source_.next());
    if (progress_ != nullptr && !piece.empty()) {
      progress_->layer_advanced(digest_, piece.size());
    }
    return piece;
  }

 private:
  archive::Reader& source_;
  const Digest& digest_;
  Progress* progress_;
};

}  // namespace

Result<> CheckedSource::check(const oci::Descriptor& descriptor, const std::string& content) {
  const Digest digest = BH_TRY(hash::digest_of(as_bytes(content), descriptor.digest.algorithm()));
  if (content.size() != descriptor.size || digest != descriptor.digest) {
    return mismatch(descriptor, digest, content.size());
  }
  return ingest_.keep(content, digest);
}

Result<oci::BlobSource::Resolved> CheckedSource::resolve(const oci::Reference& reference) {
  oci::BlobSource::Resolved top = BH_TRY(source_.resolve(reference));
  if (reference.digest() && *reference.digest() != top.descriptor.digest) {
    return fail(ErrorCode::Corrupt, "manifest {}: the source answered with {}",
                reference.digest()->text(), top.descriptor.digest.text());
  }
  BH_TRY(check(top.descriptor, top.content));
  return top;
}

Result<std::string> CheckedSource::document(const oci::Descriptor& descriptor) {
  const std::string what = "blob " + descriptor.digest.text();
  if (descriptor.size > oci::kLargestDocument) {
    return fail(ErrorCode::ResourceExhausted, "{}: {} bytes, at most {} are read", what,
                descriptor.size, oci::kLargestDocument);
  }
  const std::unique_ptr<archive::Reader> reader = BH_TRY(open(descriptor));
  BoundedReader bounded(*reader, descriptor.size);
  std::string content = BH_TRY(archive::read_all(bounded, oci::kLargestDocument).context(what));
  BH_TRY(check(descriptor, content));
  return content;
}

Result<> CheckedSource::blob(const oci::Descriptor& descriptor, Progress* progress) {
  if (ingest_.has(descriptor.digest)) {
    if (progress != nullptr) {
      progress->layer_present(descriptor.digest);
    }
    return {};
  }
  const std::unique_ptr<archive::Reader> reader = BH_TRY(open(descriptor));
  if (progress != nullptr) {
    progress->layer_started(descriptor.digest, descriptor.size);
  }
  TellingReader telling(*reader, descriptor.digest, progress);
  BoundedReader bounded(telling, descriptor.size);
  hash::Hasher hasher = BH_TRY(hash::Hasher::create(descriptor.digest.algorithm()));
  archive::HashingReader hashing(bounded, hasher);
  store::BlobWriter writer = BH_TRY(ingest_.create_blob());
  KeepingReader keeping(hashing, &writer);
  std::ignore = BH_TRY(archive::drain(keeping).context("blob " + descriptor.digest.text()));
  const Digest digest = hasher.finish();
  if (writer.size() != descriptor.size || digest != descriptor.digest) {
    return mismatch(descriptor, digest, writer.size());
  }
  BH_TRY(ingest_.keep(std::move(writer), digest));
  if (progress != nullptr) {
    progress->layer_finished(descriptor.digest);
  }
  return {};
}

Result<std::unique_ptr<archive::Reader>> CheckedSource::open(const oci::Descriptor& descriptor) {
  std::unique_ptr<archive::Reader> reader;
  if (ingest_.has(descriptor.digest)) {
    os::UniqueFd file = BH_TRY(ingest_.open(descriptor.digest));
    reader = std::make_unique<FileReader>(std::move(file));
  } else {
    auto blob = source_.open(descriptor);
    if (!blob && blob.error().code() == ErrorCode::NotFound &&
        oci::is_foreign_layer(descriptor.media_type)) {
      return fail(ErrorCode::NotFound,
                  "it is not distributable and not where the image is ({}); the URLs that its "
                  "manifest names for it are never fetched from",
                  blob.error().message());
    }
    reader = std::make_unique<SourceReader>(BH_TRY(std::move(blob)));
  }
  return reader;
}

}  // namespace bulkhead::images
