#include "bulkhead/registry/source.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/registry/blob_reader.h"
#include "bulkhead/registry/client.h"

namespace bulkhead::registry {
namespace {

class TextReader final : public oci::BlobReader {
 public:
  explicit TextReader(std::string content) : content_(std::move(content)) {}

  Result<std::size_t> read(MutableBytes buffer) override {
    const std::size_t n = std::min(buffer.size(), content_.size() - offset_);
    std::memcpy(buffer.data(), content_.data() + offset_, n);
    offset_ += n;
    return n;
  }

 private:
  std::string content_;
  std::size_t offset_ = 0;
};

}  // namespace

Result<std::unique_ptr<Source>> Source::create(const oci::Reference& reference,
                                               Transport transport) {
  std::shared_ptr<Client> client = BH_TRY(Client::create(reference, {.transport = transport}));
  return std::unique_ptr<Source>(new Source(std::move(client)));
}

Result<oci::BlobSource::Resolved> Source::resolve(const oci::Reference& reference) {
  RemoteManifest manifest = BH_TRY(client_->manifest(reference.tag_or_digest()));
  const auto algorithm =
      reference.digest() ? reference.digest()->algorithm() : DigestAlgorithm::Sha256;
  Digest digest = BH_TRY(hash::digest_of(as_bytes(manifest.content), algorithm));
  const std::size_t size = manifest.content.size();
  return Resolved{.descriptor = {.media_type = std::move(manifest.media_type),
                                 .digest = std::move(digest),
                                 .size = size},
                  .content = std::move(manifest.content)};
}

Result<std::unique_ptr<oci::BlobReader>> Source::open(const oci::Descriptor& descriptor) {
  if (oci::document_kind(descriptor.media_type)) {
    RemoteManifest manifest = BH_TRY(client_->manifest(descriptor.digest.text()));
    return std::make_unique<TextReader>(std::move(manifest.content));
  }
  std::unique_ptr<oci::BlobReader> reader = BH_TRY(BlobReader::open(client_, descriptor));
  return reader;
}

}  // namespace bulkhead::registry
