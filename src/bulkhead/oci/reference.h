#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"

namespace bulkhead::oci {

/// The name of an image, always complete: registry, repository, and a tag, a digest or both.
/// "alpine" is read as docker reads it, docker.io/library/alpine:latest. Nothing that parses holds
/// a path component that is empty or begins with a dot, white space or control characters, and each
/// part is bounded.
/// Source: distribution/reference (grammar in reference.go), OCI distribution specification.
class Reference {
 public:
  /// Errors: Invalid; Unsupported for an unknown digest algorithm.
  static Result<Reference> parse(std::string_view text);

  /// "docker.io", "localhost:5000", "[::1]:5000"; lower case.
  [[nodiscard]] const std::string& registry() const { return registry_; }

  /// "library/alpine"
  [[nodiscard]] const std::string& repository() const { return repository_; }

  /// Absent only when a digest is given without a tag.
  [[nodiscard]] const std::optional<std::string>& tag() const { return tag_; }

  [[nodiscard]] const std::optional<Digest>& digest() const { return digest_; }

  /// What a registry is asked for: the digest if there is one, else the tag.
  [[nodiscard]] std::string tag_or_digest() const;

  /// "docker.io/library/alpine"
  [[nodiscard]] std::string name() const { return registry_ + "/" + repository_; }

  /// Complete: "docker.io/library/alpine:latest". Parses to the same reference again.
  [[nodiscard]] std::string text() const;

  /// As people write the name: "alpine", "localhost:5000/x".
  [[nodiscard]] std::string familiar_name() const;

  /// As people write all of it: "alpine:latest".
  [[nodiscard]] std::string familiar() const;

  [[nodiscard]] Reference with_tag_only() const;

  bool operator==(const Reference&) const = default;

 private:
  Reference() = default;

  std::string registry_;
  std::string repository_;
  std::optional<std::string> tag_;
  std::optional<Digest> digest_;
};

/// Whether a tag is well formed: [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}.
bool is_tag(std::string_view text);

/// As Reference::familiar(); what is no reference is as it was.
std::string familiar(const std::string& reference);

}  // namespace bulkhead::oci
