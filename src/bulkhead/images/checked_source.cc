#include "bulkhead/images/checked_source.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
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

Result<> CheckedSource::blob(const oci::Descriptor& descriptor) {
  if (ingest_.has(descriptor.digest)) {
    return {};
  }
  const std::unique_ptr<archive::Reader> reader = BH_TRY(open(descriptor));
  BoundedReader bounded(*reader, descriptor.size);
  hash::Hasher hasher = BH_TRY(hash::Hasher::create(descriptor.digest.algorithm()));
  archive::HashingReader hashing(bounded, hasher);
  store::BlobWriter writer = BH_TRY(ingest_.create_blob());
  KeepingReader keeping(hashing, &writer);
  std::ignore = BH_TRY(archive::drain(keeping).context("blob " + descriptor.digest.text()));
  const Digest digest = hasher.finish();
  if (writer.size() != descriptor.size || digest != descriptor.digest) {
    return mismatch(descriptor, digest, writer.size());
  }
  return ingest_.keep(std::move(writer), digest);
}

Result<std::unique_ptr<archive::Reader>> CheckedSource::open(const oci::Descriptor& descriptor) {
  std::unique_ptr<archive::Reader> reader;
  if (ingest_.has(descriptor.digest)) {
    os::UniqueFd file = BH_TRY(ingest_.open(descriptor.digest));
    reader = std::make_unique<FileReader>(std::move(file));
  } else {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<oci::BlobReader> blob = BH_TRY(source_.open(descriptor));
    reader = std::make_unique<SourceReader>(std::move(blob));
  }
  return reader;
}

}  // namespace bulkhead::images
