#include "bulkhead/oci/strings.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/value.h"

namespace bulkhead::oci {
namespace {

constexpr std::size_t kLongestString = (std::size_t{128} << 10U) - 1;
constexpr std::size_t kMostStringBytes = std::size_t{2} << 20U;

bool has_nul(const json::Value& value) {
  if (const std::string* text = value.as_string()) {
    return text->contains('\0');
  }
  if (const json::Array* array = value.as_array()) {
    return std::ranges::any_of(*array, has_nul);
  }
  if (const json::Object* object = value.as_object()) {
    return std::ranges::any_of(*object, [](const json::Member& member) {
      return member.name.contains('\0') || has_nul(member.value);
    });
  }
  return false;
}

}  // namespace

Result<> check_no_nul(const json::Value& value, std::string_view what) {
  if (has_nul(value)) {
    return fail(ErrorCode::Invalid, "{}: a string holds a NUL character", what);
  }
  return {};
}

Result<> check_process_strings(const std::vector<std::string>& arguments,
                               const std::vector<std::string>& environment, std::string_view what) {
  std::size_t total = 0;
  for (const auto* list : {&arguments, &environment}) {
    for (const std::string& text : *list) {
      if (text.size() > kLongestString) {
        return fail(ErrorCode::ResourceExhausted,
                    "{}: an argument or environment variable has {} bytes; Linux takes {}", what,
                    text.size(), kLongestString);
      }
      total += text.size() + 1 + sizeof(char*);
    }
  }
  if (total > kMostStringBytes) {
    return fail(ErrorCode::ResourceExhausted,
                "{}: arguments and environment need {} bytes; Linux takes {}", what, total,
                kMostStringBytes);
  }
  return {};
}

Result<> check_absolute_path(std::string_view path, std::string_view what) {
  if (!path.starts_with('/')) {
    return fail(ErrorCode::Invalid, "{}: {} is not an absolute path", what, quote(path));
  }
  const std::vector<std::string_view> pieces = split(path, '/');
  if (std::ranges::find(pieces, "..") != pieces.end()) {
    return fail(ErrorCode::Invalid, "{}: {} holds \"..\"", what, quote(path));
  }
  return {};
}

}  // namespace bulkhead::oci
