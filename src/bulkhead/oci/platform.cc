#include "bulkhead/oci/platform.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::oci {
namespace {

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 32 && text.front() != '.' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '.' || c == '-';
         });
}

void make_lower(std::string& text) {
  for (char& c : text) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
}

std::string printable(const std::string& text) {
  return text.empty() || is_word(text) ? text : quote(text);
}

}  // namespace

Platform Platform::normalised(std::string os, std::string architecture, std::string variant) {
  Platform platform{std::move(os), std::move(architecture), std::move(variant)};
  make_lower(platform.os);
  make_lower(platform.architecture);
  make_lower(platform.variant);
  std::string& arch = platform.architecture;
  std::string& level = platform.variant;
  if (arch == "x86_64" || arch == "x86-64") {
    arch = "amd64";
  } else if (arch == "aarch64") {
    arch = "arm64";
  } else if (arch == "armhf") {
    arch = "arm";
    level = "v7";
  } else if (arch == "armel") {
    arch = "arm";
    level = "v6";
  } else if (arch == "i386" || arch == "i686") {
    arch = "386";
    level.clear();
  }
  if (arch == "arm" && level.size() == 1) {
    level.insert(0, "v");
  }
  if ((arch == "amd64" && level == "v1") || (arch == "arm64" && (level == "v8" || level == "8"))) {
    level.clear();
  }
  if (arch == "arm" && level.empty()) {
    level = "v7";
  }
  return platform;
}

Result<Platform> Platform::parse(std::string_view text) {
  const std::vector<std::string_view> pieces = split(text, '/');
  if (pieces.size() > 3 || !std::ranges::all_of(pieces, is_word)) {
    return fail(ErrorCode::Invalid, "platform {}: write it as os/architecture[/variant]",
                quote(text));
  }
  if (pieces.size() == 1) {
    return normalised("linux", std::string(pieces[0]), "");
  }
  return normalised(std::string(pieces[0]), std::string(pieces[1]),
                    pieces.size() == 3 ? std::string(pieces[2]) : "");
}

Platform Platform::host() {
#if defined(__x86_64__)
  return {"linux", "amd64", ""};
#elif defined(__aarch64__)
  return {"linux", "arm64", ""};
#else
#error "name this architecture here"
#endif
}

std::string Platform::text() const {
  std::string text = printable(os) + "/" + printable(architecture);
  if (!variant.empty()) {
    text += "/" + printable(variant);
  }
  return text;
}

std::vector<Platform> acceptable_platforms(const Platform& wanted) {
  std::vector<Platform> acceptable = {wanted};
  const bool is_amd64 = wanted.architecture == "amd64";
  const bool is_arm = wanted.architecture == "arm";
  if (wanted.variant.size() != 2 || wanted.variant[0] != 'v' || !(is_amd64 || is_arm)) {
    return acceptable;
  }
  const char lowest = is_amd64 ? '1' : '5';
  for (char level = static_cast<char>(wanted.variant[1] - 1); level >= lowest; --level) {
    acceptable.push_back(
        Platform::normalised(wanted.os, wanted.architecture, std::string("v") + level));
  }
  return acceptable;
}

}  // namespace bulkhead::oci
