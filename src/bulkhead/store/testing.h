#pragma once

#include <string>

#include "bulkhead/base/digest.h"
#include "bulkhead/store/image_record.h"

namespace bulkhead::store {

/// A record for tests, all of whose digests are made of `letter`.
inline ImageRecord test_image(const std::string& reference, char letter = 'a') {
  const Digest digest = Digest::from_hex(DigestAlgorithm::Sha256, std::string(64, letter));
  return {.reference = reference,
          .target = {.media_type = "t", .digest = digest, .size = 1},
          .manifest = digest,
          .config = digest,
          .chain = digest,
          .platform = {"linux", "amd64", ""},
          .size_bytes = 61'300'000,
          .created = "2026-01-01T00:00:00Z"};
}

}  // namespace bulkhead::store
