#include "bulkhead/guest/cgroup_files.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "bulkhead/base/text.h"

namespace bulkhead::guest {
namespace {

/// "254:0"
std::optional<BlockAccount> parse_device(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  const auto major = parse_decimal<std::uint32_t>(text.substr(0, colon));
  const auto minor = parse_decimal<std::uint32_t>(text.substr(colon + 1));
  if (!major || !minor) {
    return std::nullopt;
  }
  return BlockAccount{.major = *major, .minor = *minor};
}

/// "rbytes=4096"; what is not known is passed over.
void take_member(std::string_view text, BlockAccount& account) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return;
  }
  const std::string_view name = text.substr(0, equals);
  const std::uint64_t value = parse_decimal<std::uint64_t>(text.substr(equals + 1)).value_or(0);
  if (name == "rbytes") {
    account.read_bytes = value;
  } else if (name == "wbytes") {
    account.written_bytes = value;
  } else if (name == "rios") {
    account.reads = value;
  } else if (name == "wios") {
    account.writes = value;
  }
}

}  // namespace

std::vector<Counter> parse_counters(std::string_view content) {
  std::vector<Counter> counters;
  for (const std::string_view line : split(content, '\n')) {
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || space == 0) {
      continue;
    }
    if (const auto value = parse_decimal<std::uint64_t>(line.substr(space + 1))) {
      counters.push_back({.name = line.substr(0, space), .value = *value});
    }
  }
  return counters;
}

std::uint64_t find_counter(const std::vector<Counter>& counters, std::string_view name) {
  const auto found = std::ranges::find(counters, name, &Counter::name);
  return found == counters.end() ? 0 : found->value;
}

std::uint64_t parse_limit(std::string_view content) {
  return parse_decimal<std::uint64_t>(content.substr(0, content.find('\n'))).value_or(0);
}

std::vector<BlockAccount> parse_block_accounts(std::string_view content) {
  std::vector<BlockAccount> accounts;
  for (const std::string_view line : split(content, '\n')) {
    const std::vector<std::string_view> words = split(line, ' ');
    auto account = parse_device(words.front());
    if (!account) {
      continue;
    }
    for (const std::string_view word : words) {
      take_member(word, *account);
    }
    accounts.push_back(*account);
  }
  return accounts;
}

}  // namespace bulkhead::guest
