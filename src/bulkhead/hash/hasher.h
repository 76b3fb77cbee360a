#pragma once

#include <memory>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"

namespace bulkhead::hash {

/// A running SHA-256 or SHA-512. One thread at a time; different hashers are independent.
class Hasher {
 public:
  /// Errors: Internal when OpenSSL does not offer the algorithm.
  static Result<Hasher> create(DigestAlgorithm algorithm = DigestAlgorithm::Sha256);

  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  ~Hasher();

  [[nodiscard]] DigestAlgorithm algorithm() const;

  void update(Bytes data);

  /// The digest of everything since create() or the last finish(); the hasher starts over.
  Digest finish();

 private:
  struct State;
  explicit Hasher(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// Errors: as Hasher::create.
Result<Digest> digest_of(Bytes data, DigestAlgorithm algorithm = DigestAlgorithm::Sha256);

}  // namespace bulkhead::hash
