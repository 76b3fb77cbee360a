#include "bulkhead/base/digest.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead {
namespace {

constexpr std::size_t hex_length(DigestAlgorithm algorithm) {
  return algorithm == DigestAlgorithm::Sha256 ? 64 : 128;
}

bool is_lower_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    return fail(ErrorCode::Invalid, "digest {}: no algorithm", quote(text));
  }
  const std::string_view name = text.substr(0, colon);
  const std::string_view hex = text.substr(colon + 1);
  DigestAlgorithm algorithm{};
  if (name == "sha256") {
    algorithm = DigestAlgorithm::Sha256;
  } else if (name == "sha512") {
    algorithm = DigestAlgorithm::Sha512;
  } else {
    return fail(ErrorCode::Unsupported, "digest {}: unknown algorithm", quote(text));
  }
  if (hex.size() != hex_length(algorithm) || !std::ranges::all_of(hex, is_lower_hex)) {
    return fail(ErrorCode::Invalid, "digest {}: not {} lower-case hex digits", quote(text),
                hex_length(algorithm));
  }
  return Digest(algorithm, std::string(hex));
}

Digest Digest::from_hex(DigestAlgorithm algorithm, std::string hex) {
  BH_CHECK(hex.size() == hex_length(algorithm));
  return {algorithm, std::move(hex)};
}

std::string_view Digest::algorithm_name() const {
  return algorithm_ == DigestAlgorithm::Sha256 ? "sha256" : "sha512";
}

std::string Digest::text() const {
  std::string text(algorithm_name());
  text += ':';
  text += hex_;
  return text;
}

}  // namespace bulkhead
