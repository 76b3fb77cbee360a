#include "bulkhead/hash/hasher.h"

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <openssl/evp.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/check.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead::hash {
namespace {

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Fetched once for each algorithm and never freed: an implicit fetch at every init costs more than
// hashing a small blob.
const EVP_MD* algorithm_of(DigestAlgorithm algorithm) {
  if (algorithm == DigestAlgorithm::Sha512) {
    static const EVP_MD* const kSha512 = EVP_MD_fetch(nullptr, "SHA512", nullptr);
    return kSha512;
  }
  static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return kSha256;
}

}  // namespace

struct Hasher::State {
  DigestAlgorithm algorithm;
  const EVP_MD* digest;
  std::unique_ptr<EVP_MD_CTX, ContextDeleter> context;
};

Hasher::Hasher(std::unique_ptr<State> state) : state_(std::move(state)) {}

Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

Result<Hasher> Hasher::create(DigestAlgorithm algorithm) {
  const EVP_MD* digest = algorithm_of(algorithm);
  std::unique_ptr<EVP_MD_CTX, ContextDeleter> context(EVP_MD_CTX_new());
  if (digest == nullptr || !context || EVP_DigestInit_ex2(context.get(), digest, nullptr) != 1) {
    return fail(ErrorCode::Internal, "hash: OpenSSL offers no {}",
                algorithm == DigestAlgorithm::Sha512 ? "SHA-512" : "SHA-256");
  }
  return Hasher(std::make_unique<State>(State{algorithm, digest, std::move(context)}));
}

DigestAlgorithm Hasher::algorithm() const { return state_->algorithm; }

void Hasher::update(Bytes data) {
  // It fails only on a context that is not initialised.
  BH_CHECK(EVP_DigestUpdate(state_->context.get(), data.data(), data.size()) == 1);
}

Digest Hasher::finish() {
  std::array<std::byte, EVP_MAX_MD_SIZE> buffer{};
  unsigned length = 0;
  BH_CHECK(EVP_DigestFinal_ex(state_->context.get(),
                              reinterpret_cast<unsigned char*>(buffer.data()), &length) == 1);
  BH_CHECK(EVP_DigestInit_ex2(state_->context.get(), state_->digest, nullptr) == 1);
  return Digest::from_hex(state_->algorithm, to_hex(std::span(buffer).first(length)));
}

Result<Digest> digest_of(Bytes data, DigestAlgorithm algorithm) {
  Hasher hasher = BH_TRY(Hasher::create(algorithm));
  hasher.update(data);
  return hasher.finish();
}

}  // namespace bulkhead::hash
