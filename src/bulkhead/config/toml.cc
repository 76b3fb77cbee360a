#include "bulkhead/config/toml.h"

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#define TOML_EXCEPTIONS 0
// toml++ 3.3 asserts what hostile input can break ("[[[[x"), and under NDEBUG tells the optimiser
// to rely on it. Without either it reports an error.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/value.h"

// toml++ is in this file alone; it is slow to compile.

namespace bulkhead::config {
namespace {

constexpr std::size_t kLargestText = 1U << 20U;

json::Value value_of(const toml::node& node);

/// toml++ sorts by name; people mean the order in which they wrote.
json::Value value_of(const toml::table& table) {
  struct Entry {
    toml::source_position position;
    std::string name;
    const toml::node* node;
  };

  std::vector<Entry> entries;
  for (const auto& [key, node] : table) {
    entries.push_back({key.source().begin, std::string(key.str()), &node});
  }
  std::ranges::stable_sort(entries, [](const Entry& a, const Entry& b) {
    return std::pair(a.position.line, a.position.column) <
           std::pair(b.position.line, b.position.column);
  });
  json::Object object;
  for (Entry& entry : entries) {
    object.push_back({std::move(entry.name), value_of(*entry.node)});
  }
  return object;
}

json::Value value_of(const toml::array& array) {
  json::Array values;
  for (const toml::node& node : array) {
    values.push_back(value_of(node));
  }
  return values;
}

json::Value value_of(const toml::node& node) {
  return node.visit([](const auto& one) -> json::Value {
    using Node = std::remove_cvref_t<decltype(one)>;
    if constexpr (toml::is_table<Node> || toml::is_array<Node>) {
      return value_of(one);
    } else if constexpr (toml::is_chronological<Node>) {
      std::ostringstream text;
      text << one.get();
      return std::move(text).str();
    } else {
      return one.get();
    }
  });
}

/// toml++ 3.3 holds for unreachable what other letters than ASCII's reach outside strings and
/// comments. They are taken where they cannot do that: in lines that are a comment.
bool is_plain(std::string_view line) {
  const std::size_t begin = line.find_first_not_of(" \t");
  return (begin != std::string_view::npos && line[begin] == '#') ||
         std::ranges::all_of(line, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

Result<json::Value> parse_toml(std::string_view text, std::string_view what) {
  if (text.size() > kLargestText) {
    return fail(ErrorCode::ResourceExhausted, "{}: more than {} bytes", what, kLargestText);
  }
  if (!std::ranges::all_of(split(text, '\n'), is_plain)) {
    return fail(ErrorCode::Invalid,
                "{}: letters beyond ASCII are taken in comment lines only (\\u00e9 in strings)",
                what);
  }
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    const toml::source_position& at = result.error().source().begin;
    return fail(ErrorCode::Invalid, "{}: line {}, column {}: {}", what, at.line, at.column,
                quote(result.error().description()));
  }
  return value_of(result.table());
}

}  // namespace bulkhead::config
