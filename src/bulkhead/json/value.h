#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bulkhead::json {

class Value;

/// A name and a value. A template only so that it is complete as soon as Value is, which a vector
/// inside Value needs.
template <class V>
struct BasicMember {
  std::string name;
  V value;

  bool operator==(const BasicMember&) const = default;
};

using Member = BasicMember<Value>;

using Array = std::vector<Value>;

/// Members in the order in which they stand in the text, so that what is read and written again
/// keeps its order.
using Object = std::vector<Member>;

/// One JSON value. Integers are kept exactly: what does not fit 64 bits does not parse.
class Value {
 public:
  Value();  ///< null

  // NOLINTBEGIN(google-explicit-constructor): a value is written down as what it holds
  Value(bool value);

  Value(std::string value);

  Value(std::string_view value);

  Value(const char* value);

  Value(double value);

  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Value(T value) : Value() {
    if (std::in_range<std::int64_t>(value)) {
      data_ = static_cast<std::int64_t>(value);
    } else {
      data_ = static_cast<std::uint64_t>(value);
    }
  }

  Value(Array value);

  Value(Object value);

  Value(const std::vector<std::string>& texts);

  // NOLINTEND(google-explicit-constructor)

  Value(const Value&);
  Value(Value&&) noexcept;
  Value& operator=(const Value&);
  Value& operator=(Value&&) noexcept;
  ~Value();

  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::nullptr_t>(data_); }

  [[nodiscard]] bool is_object() const { return std::holds_alternative<Object>(data_); }

  /// Each is null or empty when the value is of another type.
  [[nodiscard]] const Object* as_object() const { return std::get_if<Object>(&data_); }

  [[nodiscard]] const Array* as_array() const { return std::get_if<Array>(&data_); }

  [[nodiscard]] const std::string* as_string() const { return std::get_if<std::string>(&data_); }

  [[nodiscard]] std::optional<bool> as_bool() const;

  [[nodiscard]] std::optional<double> as_double() const;

  /// The number, where the value is an integer that T can hold.
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  [[nodiscard]] std::optional<T> as_integer() const {
    if (const auto* number = std::get_if<std::int64_t>(&data_);
        number != nullptr && std::in_range<T>(*number)) {
      return static_cast<T>(*number);
    }
    if (const auto* number = std::get_if<std::uint64_t>(&data_);
        number != nullptr && std::in_range<T>(*number)) {
      return static_cast<T>(*number);
    }
    return std::nullopt;
  }

  /// The member of that name; null when there is none or this is no object.
  [[nodiscard]] const Value* find(std::string_view name) const;

  /// Adds or replaces a member. A value that was no object becomes an empty one first.
  void set(std::string_view name, Value value);

  /// "null", "object", "a string" and so on, for messages.
  [[nodiscard]] std::string_view type_name() const;

  template <class Visitor>
  decltype(auto) visit(Visitor&& visitor) const {
    return std::visit(std::forward<Visitor>(visitor), data_);
  }

  /// In tests; the order of members counts.
  bool operator==(const Value& other) const;

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array,
               Object>
      data_;
};

}  // namespace bulkhead::json
