#include "bulkhead/config/settings.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/config/toml.h"
#include "bulkhead/json/value.h"
#include "bulkhead/os/file.h"

namespace bulkhead::config {
namespace {

constexpr const char* kVariable = "BULKHEAD_CONFIG";
constexpr const char* kUsualPath = "/etc/bulkhead/config.toml";
/// Within a line of TOML. It may end as lines of Windows do.
constexpr std::string_view kSpace = " \t\r";
constexpr std::size_t kLargestFile = 1U << 20U;

/// What $BULKHEAD_CONFIG names, if it names anything.
std::optional<std::string> named_path() {
  const char* value = std::getenv(kVariable);
  return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

/// ": line 3" of a table's header, or of a key of that table: values do not know their lines, and
/// people look for them. Nothing for what is written in another way (templates.budget = …).
std::string line_of(std::string_view text, std::string_view table, std::string_view key) {
  std::string_view current;
  std::size_t number = 0;
  for (const std::string_view whole : split(text, '\n')) {
    ++number;
    const std::string_view line = trimmed(whole, kSpace);
    if (line.starts_with('[')) {
      current = trimmed(line.substr(1, line.find(']') - 1), kSpace);
    }
    const bool is_header = key.empty() && line.starts_with('[') && current == table;
    const bool is_key =
        !key.empty() && current == table && trimmed(line.substr(0, line.find('=')), kSpace) == key;
    if (is_header || is_key) {
      return fmt::format(": line {}", number);
    }
  }
  return {};
}

/// "4GiB", or a number of bytes.
Result<std::uint64_t> size_of(const json::Value& value) {
  if (const auto number = value.as_integer<std::uint64_t>()) {
    return *number;
  }
  if (const std::string* text = value.as_string()) {
    return parse_size(*text);
  }
  return fail(ErrorCode::Invalid, "a size such as \"4GiB\" is expected");
}

Result<std::uint32_t> count_of(const json::Value& value) {
  constexpr std::uint32_t kMost = 64;
  const auto number = value.as_integer<std::uint32_t>();
  return number && *number <= kMost
             ? Result<std::uint32_t>(*number)
             : fail(ErrorCode::Invalid, "a number from 0 to {} is expected", kMost);
}

}  // namespace

std::string Settings::path() { return named_path().value_or(kUsualPath); }

Result<Settings> Settings::load() {
  const auto named = named_path();
  const std::string file = named.value_or(kUsualPath);
  const auto text = os::read_file(file, kLargestFile);
  if (text) {
    return parse(*text, file);
  }
  if (text.error().code() == ErrorCode::NotFound && !named) {
    return Settings{};
  }
  return named ? Result<Settings>(text.error()).context(kVariable) : text.error();
}

Result<Settings> Settings::parse(std::string_view text, std::string_view file) {
  const json::Value document = BH_TRY(parse_toml(text, file));
  Settings settings;
  for (const auto& [table, members] : *document.as_object()) {
    const json::Object* keys = members.as_object();
    if ((table != "templates" && table != "standby") || keys == nullptr) {
      return fail(
          ErrorCode::Invalid, "{}{}: {} is unknown: the tables are [templates] and [standby]", file,
          keys != nullptr ? line_of(text, table, "") : line_of(text, "", table), quote(table));
    }
    const std::string_view only_key = table == "templates" ? "budget" : "machines";
    for (const auto& [key, value] : *keys) {
      const std::string place = fmt::format("{}{}", file, line_of(text, table, key));
      if (key != only_key) {
        return fail(ErrorCode::Invalid, "{}: {} is unknown in [{}]: there is {}", place, quote(key),
                    table, only_key);
      }
      const std::string what = fmt::format("{}: {}.{}", place, table, key);
      if (table == "templates") {
        settings.template_budget_bytes = BH_TRY(size_of(value).context(what));
      } else {
        settings.standby_machines = BH_TRY(count_of(value).context(what));
      }
    }
  }
  return settings;
}

}  // namespace bulkhead::config
