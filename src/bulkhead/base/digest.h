#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead {

enum class DigestAlgorithm : std::uint8_t { Sha256, Sha512 };

/// A content digest, "sha256:" and 64 lower-case hex digits or "sha512:" and 128: nothing else
/// parses, so its text and hex are safe as file names.
/// Source: OCI image specification, descriptor.md.
class Digest {
 public:
  /// Errors: Invalid for anything malformed, Unsupported for another algorithm.
  static Result<Digest> parse(std::string_view text);

  /// From a finished hash. `hex` must have the algorithm's length.
  static Digest from_hex(DigestAlgorithm algorithm, std::string hex);

  [[nodiscard]] DigestAlgorithm algorithm() const { return algorithm_; }

  [[nodiscard]] std::string_view algorithm_name() const;

  [[nodiscard]] const std::string& hex() const { return hex_; }

  /// "sha256:…"
  [[nodiscard]] std::string text() const;

  /// The first 12 hex digits, as people see it.
  [[nodiscard]] std::string short_text() const { return hex_.substr(0, 12); }

  auto operator<=>(const Digest&) const = default;

 private:
  Digest(DigestAlgorithm algorithm, std::string hex)
      : algorithm_(algorithm), hex_(std::move(hex)) {}

  DigestAlgorithm algorithm_;
  std::string hex_;
};

}  // namespace bulkhead
