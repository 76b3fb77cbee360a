#include "bulkhead/base/text.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"

namespace bulkhead {

std::string quote(std::string_view text) {
  static constexpr std::size_t kLongest = 120;
  std::string out = "\"";
  for (const char c : text.substr(0, kLongest)) {
    const auto value = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (value < 0x20 || value > 0x7e) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", value);
    } else {
      out.push_back(c);
    }
  }
  out += text.size() > kLongest ? "…\"" : "\"";
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (true) {
    const auto at = text.find(separator);
    pieces.push_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return pieces;
    }
    text.remove_prefix(at + 1);
  }
}

std::string_view trimmed(std::string_view text, std::string_view characters) {
  const std::size_t begin = text.find_first_not_of(characters);
  return begin == std::string_view::npos
             ? std::string_view()
             : text.substr(begin, text.find_last_not_of(characters) + 1 - begin);
}

Result<std::uint64_t> parse_size(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit;
  for (const char c : text.substr(static_cast<std::size_t>(end - text.data()))) {
    unit.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  if (unit.size() > 1 && unit.ends_with("ib")) {
    unit.resize(unit.size() - 2);
  } else if (unit.ends_with('b')) {
    unit.pop_back();
  }
  static constexpr std::string_view kUnits = "kmgtp";
  const bool starts_with_digit = !text.empty() && text.front() >= '0' && text.front() <= '9';
  double factor = 1;
  bool known = unit.empty();
  if (unit.size() == 1 && kUnits.contains(unit.front())) {
    factor = std::pow(1024.0, static_cast<double>(kUnits.find(unit.front()) + 1));
    known = true;
  }
  if (error != std::errc() || !starts_with_digit || !known) {
    return fail(ErrorCode::Invalid, "size {}: not a number with an optional unit (b, k, m, g, t)",
                quote(text));
  }
  const double bytes = number * factor;
  if (!(bytes >= 0 && bytes < 9.2e18)) {
    return fail(ErrorCode::Invalid, "size {}: out of range", quote(text));
  }
  return static_cast<std::uint64_t>(bytes);
}

std::string format_size(std::uint64_t bytes) {
  static constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) {
    return fmt::format("{} B", bytes);
  }
  return fmt::format("{:.3g} {}", value, kUnits.at(unit));
}

}  // namespace bulkhead
