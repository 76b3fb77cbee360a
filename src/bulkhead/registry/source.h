#pragma once

#include <memory>
#include <utility>

#include "bulkhead/base/result.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/registry/client.h"

namespace bulkhead::registry {

/// A registry's repository as a place where images come from. What it gives is not verified;
/// resolve() tells the digest of what it got.
class Source final : public oci::BlobSource {
 public:
  /// No traffic yet.
  static Result<std::unique_ptr<Source>> create(const oci::Reference& reference,
                                                Transport transport);

  Result<Resolved> resolve(const oci::Reference& reference) override;
  Result<std::unique_ptr<oci::BlobReader>> open(const oci::Descriptor& descriptor) override;

 private:
  explicit Source(std::shared_ptr<Client> client) : client_(std::move(client)) {}

  std::shared_ptr<Client> client_;  ///< the readers it gives hold it too
};

}  // namespace bulkhead::registry
