#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/retry.h"

namespace bulkhead::registry {

/// A registry's blob. Where the connection breaks or stalls, the rest is asked for and reading goes
/// on; how often, depends on how much came in between.
class BlobReader final : public oci::BlobReader {
 public:
  /// Waits for the head of the answer. Errors: those of Client.
  static Result<std::unique_ptr<BlobReader>> open(std::shared_ptr<Client> client,
                                                  oci::Descriptor descriptor);

  Result<std::size_t> read(MutableBytes buffer) override;

 private:
  BlobReader(std::shared_ptr<Client> client, oci::Descriptor descriptor)
      : client_(std::move(client)), descriptor_(std::move(descriptor)) {}

  Result<std::size_t> read_once(MutableBytes buffer);
  Result<> reopen();

  std::shared_ptr<Client> client_;
  oci::Descriptor descriptor_;
  Backoff backoff_;
  std::unique_ptr<HttpResponse> response_;  ///< null: to be asked for
  std::uint64_t skip_ = 0;                  ///< bytes to pass over in it
  std::uint64_t offset_ = 0;                ///< bytes handed on
  std::uint64_t failed_at_ = 0;             ///< where it last broke
  bool is_range_believed_ = true;
};

}  // namespace bulkhead::registry
