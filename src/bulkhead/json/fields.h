#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"

namespace bulkhead::json {

/// Typed reading of an object's members. A member that is absent or null leaves the output as it
/// was; one of the wrong type or out of range is an Invalid error that names it by its path:
/// "image config: config.Env[2]: a string is expected, it is an integer".
///
///   const Fields fields = BH_TRY(Fields::create(value, "manifest"));
///   BH_TRY(fields.read("mediaType", manifest.media_type));
///
/// The value must outlive it.
class Fields {
 public:
  /// Errors: Invalid when `value` is no object. `path` is what the object is called in messages.
  static Result<Fields> create(const Value& value, std::string path);

  [[nodiscard]] const std::string& path() const { return path_; }

  /// The member; null when absent or null.
  [[nodiscard]] const Value* find(std::string_view name) const;

  [[nodiscard]] bool has(std::string_view name) const { return find(name) != nullptr; }

  Result<> read(std::string_view name, std::string& out) const;
  Result<> read(std::string_view name, bool& out) const;
  Result<> read(std::string_view name, double& out) const;
  Result<> read(std::string_view name, std::vector<std::string>& out) const;
  Result<> read(std::string_view name, std::map<std::string, std::string>& out) const;

  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Result<> read(std::string_view name, T& out) const {
    if (const Value* value = find(name)) {
      const std::optional<T> number = value->as_integer<T>();
      if (!number) {
        return wrong(name, "an integer in range is expected", *value);
      }
      out = *number;
    }
    return {};
  }

  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Result<> read(std::string_view name, std::vector<T>& out) const {
    return each(name, [&](const Value& value, std::string path) -> Result<> {
      const std::optional<T> number = value.as_integer<T>();
      if (!number) {
        return fail(ErrorCode::Invalid, "{}: an integer in range is expected", path);
      }
      out.push_back(*number);
      return {};
    });
  }

  template <class T>
  Result<> read(std::string_view name, std::optional<T>& out) const {
    if (has(name)) {
      T value{};
      BH_TRY(read(name, value));
      out = std::move(value);
    }
    return {};
  }

  /// The same, but an absent member is Invalid.
  template <class T>
  Result<> require(std::string_view name, T& out) const {
    if (!has(name)) {
      return missing(name);
    }
    return read(name, out);
  }

  /// The object of that name; nothing when absent.
  [[nodiscard]] Result<std::optional<Fields>> object(std::string_view name) const;

  /// Calls `take(const Value&, std::string path) -> Result<>` for each element of the array.
  template <class Take>
  Result<> each(std::string_view name, Take take) const {
    const Value* value = find(name);
    if (value == nullptr) {
      return {};
    }
    const Array* array = value->as_array();
    if (array == nullptr) {
      return wrong(name, "an array is expected", *value);
    }
    for (std::size_t index = 0; index < array->size(); ++index) {
      BH_TRY(take((*array)[index], member_path(name) + "[" + std::to_string(index) + "]"));
    }
    return {};
  }

  /// "manifest: config.digest"
  [[nodiscard]] std::string member_path(std::string_view name) const;

 private:
  Fields(const Value& value, std::string path) : value_(&value), path_(std::move(path)) {}

  [[nodiscard]] Error wrong(std::string_view name, std::string_view expected,
                            const Value& value) const;
  [[nodiscard]] Error missing(std::string_view name) const;

  const Value* value_;
  std::string path_;
};

}  // namespace bulkhead::json
