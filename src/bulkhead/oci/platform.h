#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::oci {

/// Operating system and processor that an image is for, in Go's words. Normalised: "x86_64" is
/// "amd64", "aarch64" is "arm64", "armhf" is "arm" "v7", "armel" is "arm" "v6"; the variants that
/// every processor of the kind has ("v1" of amd64, "v8" of arm64) are left empty, and "arm" without
/// one is "v7". Source: containerd/platforms.
struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;

  /// "linux/arm/v7", "arm64", "linux/amd64". Errors: Invalid.
  static Result<Platform> parse(std::string_view text);

  /// From the fields of a descriptor or an image config, which may be any text.
  static Platform normalised(std::string os, std::string architecture, std::string variant);

  /// What this machine's guests are.
  static Platform host();

  /// "linux/arm/v7"; strangers' text is made printable.
  [[nodiscard]] std::string text() const;

  auto operator<=>(const Platform&) const = default;
};

/// The platforms that run on `wanted`, the best first: arm v7 also runs v6 and v5, amd64 v3 also v2
/// and v1.
std::vector<Platform> acceptable_platforms(const Platform& wanted);

}  // namespace bulkhead::oci
