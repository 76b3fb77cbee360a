#include "bulkhead/network/resolver.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/log.h"
#include "bulkhead/base/text.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/os/file.h"

namespace bulkhead::network {
namespace {

constexpr std::size_t kMostServers = 3;
constexpr std::size_t kMostSearches = 6;
constexpr std::size_t kMostOptions = 16;
constexpr std::size_t kLongestWord = 255;
constexpr std::size_t kLongestLabel = 63;
constexpr std::size_t kLargestFile = 64U << 10U;
// Public resolvers of two operators.
constexpr std::array<std::string_view, 2> kFallbackServers = {"1.1.1.1", "8.8.8.8"};

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  std::size_t at = 0;
  while (at < line.size()) {
    const std::size_t start = line.find_first_not_of(" \t\r", at);
    if (start == std::string_view::npos) {
      break;
    }
    at = std::min(line.find_first_of(" \t\r", start), line.size());
    words.push_back(line.substr(start, at - start));
  }
  return words;
}

/// A name server's address that means the same in a guest, which has IPv4 only.
bool is_usable_server(std::string_view text) {
  const auto address = netlink::IpPrefix::parse(text);
  if (!address || text.contains('/') || address->family() != AF_INET) {
    return false;
  }
  const std::uint32_t first_byte = address->ipv4() >> 24U;
  constexpr std::uint32_t kFirstMulticast = 224;
  return first_byte != 0 && first_byte != 127 && first_byte < kFirstMulticast;
}

bool is_word(std::string_view text) {
  return text.size() <= kLongestWord && std::ranges::all_of(text, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':';
         });
}

/// A domain to search in. The root alone (".") says "search nowhere"; some resolvers misread it.
bool is_domain(std::string_view text) {
  if (text.ends_with('.')) {
    text.remove_suffix(1);
  }
  return is_word(text) && std::ranges::all_of(split(text, '.'), [](std::string_view label) {
           return !label.empty() && label.size() <= kLongestLabel && !label.starts_with('-') &&
                  !label.ends_with('-') && !label.contains(':');
         });
}

void append(std::string& text, std::string_view keyword, const std::vector<std::string>& words) {
  if (words.empty()) {
    return;
  }
  text += keyword;
  for (const std::string& word : words) {
    text += ' ';
    text += word;
  }
  text += '\n';
}

void take_words(const std::vector<std::string_view>& words, std::size_t most,
                bool (*is_good)(std::string_view), std::vector<std::string>& into) {
  into.clear();
  for (std::size_t i = 1; i < words.size() && into.size() < most; ++i) {
    if (is_good(words[i])) {
      into.emplace_back(words[i]);
    }
  }
}

}  // namespace

std::string ResolverConfig::text() const {
  std::string out;
  for (const std::string& server : servers) {
    out += "nameserver " + server + "\n";
  }
  append(out, "search", searches);
  append(out, "options", options);
  return out;
}

ResolverConfig parse_resolver_config(std::string_view text) {
  ResolverConfig config;
  for (const std::string_view line : split(text, '\n')) {
    const auto words = words_of(line);
    if (words.size() < 2) {
      continue;
    }
    if (words[0] == "nameserver") {
      if (is_usable_server(words[1]) && config.servers.size() < kMostServers) {
        config.servers.emplace_back(words[1]);
      }
    } else if (words[0] == "search" || words[0] == "domain") {
      take_words(words, kMostSearches, is_domain, config.searches);
    } else if (words[0] == "options") {
      take_words(words, kMostOptions, is_word, config.options);
    }
  }
  return config;
}

ResolverConfig host_resolver_config(const ResolverFiles& files) {
  for (const std::string& path : {files.administrator, files.host, files.systemd}) {
    const auto text = os::read_file(path, kLargestFile);
    if (!text) {
      continue;
    }
    auto config = parse_resolver_config(*text);
    if (!config.servers.empty()) {
      return config;
    }
  }
  const auto text = os::read_file(files.host, kLargestFile);
  ResolverConfig config = text ? parse_resolver_config(*text) : ResolverConfig{};
  config.servers.assign(kFallbackServers.begin(), kFallbackServers.end());
  log::warning("{} names no server that a container can reach: {} are used; name others in {}",
               files.host, fmt::join(config.servers, " and "), files.administrator);
  return config;
}

}  // namespace bulkhead::network
