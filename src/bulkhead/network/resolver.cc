#include "bulkhead/network/resolver.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/text.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/os/file.h"

namespace bulkhead::network {
namespace {

constexpr std::size_t kMostServers = 3;
constexpr std::size_t kMostSearches = 6;
constexpr std::size_t kMostOptions = 16;
constexpr std::size_t kLongestWord = 255;
constexpr std::size_t kLargestFile = 64U << 10U;

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

/// A name server's address that means the same in a guest.
bool is_usable_server(std::string_view text) {
  const auto address = netlink::IpPrefix::parse(text);
  return address && !text.contains('/') && !text.starts_with("127.") && text != "::1";
}

bool is_word(std::string_view text) {
  return text.size() <= kLongestWord && std::ranges::all_of(text, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':';
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
                std::vector<std::string>& into) {
  into.clear();
  for (std::size_t i = 1; i < words.size() && into.size() < most; ++i) {
    if (is_word(words[i])) {
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
      take_words(words, kMostSearches, config.searches);
    } else if (words[0] == "options") {
      take_words(words, kMostOptions, config.options);
    }
  }
  return config;
}

ResolverConfig host_resolver_config() {
  ResolverConfig config;
  for (const char* path : {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}) {
    if (const auto text = os::read_file(path, kLargestFile)) {
      config = parse_resolver_config(*text);
      if (!config.servers.empty()) {
        break;
      }
    }
  }
  return config;
}

}  // namespace bulkhead::network
