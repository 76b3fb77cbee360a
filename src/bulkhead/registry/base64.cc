#include "bulkhead/registry/base64.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::registry {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string encode_base64(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += 3) {
    const std::string_view group = text.substr(at, 3);
    std::uint32_t bits = 0;
    for (std::size_t index = 0; index < 3; ++index) {
      bits = bits << 8U | (index < group.size() ? static_cast<unsigned char>(group[index]) : 0U);
    }
    for (std::size_t index = 0; index < 4; ++index) {
      out.push_back(index <= group.size() ? kAlphabet[bits >> (18 - 6 * index) & 63U] : '=');
    }
  }
  return out;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) {
    return std::nullopt;
  }
  std::string out;
  std::uint32_t bits = 0;
  std::size_t count = 0;
  std::size_t padding = 0;
  for (const char c : text) {
    const std::size_t value = kAlphabet.find(c);
    if (c == '=' && count >= text.size() - 2) {
      ++padding;
    } else if (value == std::string_view::npos || padding != 0) {
      return std::nullopt;
    }
    bits = bits << 6U | (c == '=' ? 0U : static_cast<std::uint32_t>(value));
    if (++count % 4 == 0) {
      const std::array bytes = {static_cast<char>(bits >> 16U & 0xffU),
                                static_cast<char>(bits >> 8U & 0xffU),
                                static_cast<char>(bits & 0xffU)};
      out.append(bytes.data(), bytes.size() - padding);
    }
  }
  return out;
}

}  // namespace bulkhead::registry
