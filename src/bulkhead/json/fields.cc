#include "bulkhead/json/fields.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/value.h"

namespace bulkhead::json {

Result<Fields> Fields::create(const Value& value, std::string path) {
  if (!value.is_object()) {
    return fail(ErrorCode::Invalid, "{}: an object is expected, it is {}", path, value.type_name());
  }
  return Fields(value, std::move(path));
}

const Value* Fields::find(std::string_view name) const {
  const Value* value = value_->find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<> Fields::read(std::string_view name, std::string& out) const {
  if (const Value* value = find(name)) {
    const std::string* text = value->as_string();
    if (text == nullptr) {
      return wrong(name, "a string is expected", *value);
    }
    out = *text;
  }
  return {};
}

Result<> Fields::read(std::string_view name, bool& out) const {
  if (const Value* value = find(name)) {
    const std::optional<bool> truth = value->as_bool();
    if (!truth) {
      return wrong(name, "a boolean is expected", *value);
    }
    out = *truth;
  }
  return {};
}

Result<> Fields::read(std::string_view name, double& out) const {
  if (const Value* value = find(name)) {
    const std::optional<double> number = value->as_double();
    if (!number) {
      return wrong(name, "a number is expected", *value);
    }
    out = *number;
  }
  return {};
}

Result<> Fields::read(std::string_view name, std::vector<std::string>& out) const {
  return each(name, [&](const Value& value, const std::string& path) -> Result<> {
    const std::string* text = value.as_string();
    if (text == nullptr) {
      return fail(ErrorCode::Invalid, "{}: a string is expected, it is {}", path,
                  value.type_name());
    }
    out.push_back(*text);
    return {};
  });
}

Result<> Fields::read(std::string_view name, std::map<std::string, std::string>& out) const {
  const std::optional<Fields> fields = BH_TRY(object(name));
  if (!fields) {
    return {};
  }
  for (const Member& member : *fields->value_->as_object()) {
    const std::string* text = member.value.as_string();
    if (text == nullptr) {
      return fields->wrong(quote(member.name), "a string is expected", member.value);
    }
    out.emplace(member.name, *text);
  }
  return {};
}

Result<std::optional<Fields>> Fields::object(std::string_view name) const {
  const Value* value = find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  return BH_TRY(create(*value, member_path(name)));
}

std::string Fields::member_path(std::string_view name) const {
  std::string path = path_;
  // The first piece is the document's name.
  path += path_.contains(": ") ? "." : ": ";
  path += name;
  return path;
}

Error Fields::wrong(std::string_view name, std::string_view expected, const Value& value) const {
  return fail(ErrorCode::Invalid, "{}: {}, it is {}", member_path(name), expected,
              value.type_name());
}

Error Fields::missing(std::string_view name) const {
  return fail(ErrorCode::Invalid, "{}: is missing", member_path(name));
}

}  // namespace bulkhead::json
