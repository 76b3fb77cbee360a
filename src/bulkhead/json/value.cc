#include "bulkhead/json/value.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bulkhead::json {

Value::Value() : data_(nullptr) {}

Value::Value(bool value) : data_(value) {}

Value::Value(std::string value) : data_(std::move(value)) {}

Value::Value(std::string_view value) : data_(std::string(value)) {}

Value::Value(const char* value) : data_(std::string(value)) {}

Value::Value(double value) : data_(value) {}

Value::Value(Array value) : data_(std::move(value)) {}

Value::Value(Object value) : data_(std::move(value)) {}

Value::Value(const Value&) = default;
Value::Value(Value&&) noexcept = default;
Value& Value::operator=(const Value&) = default;
Value& Value::operator=(Value&&) noexcept = default;
Value::~Value() = default;

Value::Value(const std::vector<std::string>& texts) : data_(Array(texts.begin(), texts.end())) {}

std::optional<bool> Value::as_bool() const {
  const bool* value = std::get_if<bool>(&data_);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<double> Value::as_double() const {
  if (const auto* value = std::get_if<double>(&data_)) {
    return *value;
  }
  if (const auto* value = std::get_if<std::int64_t>(&data_)) {
    return static_cast<double>(*value);
  }
  if (const auto* value = std::get_if<std::uint64_t>(&data_)) {
    return static_cast<double>(*value);
  }
  return std::nullopt;
}

const Value* Value::find(std::string_view name) const {
  const Object* object = as_object();
  if (object == nullptr) {
    return nullptr;
  }
  const auto found = std::ranges::find(*object, name, &Member::name);
  return found == object->end() ? nullptr : &found->value;
}

void Value::set(std::string_view name, Value value) {
  if (!is_object()) {
    data_ = Object();
  }
  auto& object = std::get<Object>(data_);
  const auto found = std::ranges::find(object, name, &Member::name);
  if (found != object.end()) {
    found->value = std::move(value);
  } else {
    object.push_back({std::string(name), std::move(value)});
  }
}

std::string_view Value::type_name() const {
  static constexpr std::array<std::string_view, 8> kNames = {
      "null",     "a boolean", "an integer", "an integer",
      "a number", "a string",  "an array",   "an object"};
  return kNames.at(data_.index());
}

bool Value::operator==(const Value& other) const { return data_ == other.data_; }

}  // namespace bulkhead::json
