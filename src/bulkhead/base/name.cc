#include "bulkhead/base/name.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead {
namespace {

constexpr std::size_t kLongestName = 128;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Result<> fill_random(std::span<std::byte> bytes) {
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return Error::from_errno("getrandom");
  }
  return {};
}

constexpr std::array<std::string_view, 32> kAdjectives = {
    "brave", "calm",  "clever", "eager", "early", "fair",  "fleet", "fond",
    "frank", "glad",  "grand",  "happy", "hardy", "keen",  "kind",  "lively",
    "lucid", "merry", "neat",   "noble", "plain", "proud", "quick", "quiet",
    "rapid", "ready", "sharp",  "solid", "still", "sunny", "swift", "warm"};
constexpr std::array<std::string_view, 32> kNouns = {
    "anchor", "beacon", "bell",    "bow",  "buoy",   "cabin", "canvas", "compass",
    "cove",   "crest",  "current", "deck", "dock",   "ferry", "fjord",  "galley",
    "gull",   "harbor", "helm",    "hull", "island", "keel",  "lagoon", "mast",
    "otter",  "pilot",  "port",    "reef", "rudder", "sail",  "tide",   "wave"};

}  // namespace

Result<> validate_name(std::string_view what, std::string_view name) {
  const auto allowed = [](char c) {
    return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
  };
  if (name.empty() || name.size() > kLongestName || !is_alphanumeric(name.front()) ||
      !std::ranges::all_of(name, allowed)) {
    return fail(ErrorCode::Invalid,
                "{} {}: only letters, digits, '_', '.' and '-' are allowed, the first a letter or "
                "digit, at most {}",
                what, quote(name), kLongestName);
  }
  return {};
}

Result<std::string> make_id() {
  std::array<std::byte, 32> bytes{};
  BH_TRY(fill_random(bytes));
  return to_hex(bytes);
}

Result<std::string> make_up_name() {
  std::array<std::byte, 2> bytes{};
  BH_TRY(fill_random(bytes));
  std::string name(kAdjectives.at(std::to_integer<std::size_t>(bytes[0]) % kAdjectives.size()));
  name += '-';
  name += kNouns.at(std::to_integer<std::size_t>(bytes[1]) % kNouns.size());
  return name;
}

bool is_id_prefix(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

}  // namespace bulkhead
