#include "bulkhead/json/parse.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <boost/json/basic_parser_impl.hpp>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/value.h"

namespace bulkhead::json {
namespace {

namespace bj = boost::json;

/// What the parser calls. It builds our values, and stops the parser by returning false with
/// `failure` set.
class Builder {
 public:
  // Boost.JSON asks for these; the size of the whole text is limited instead.
  static constexpr std::size_t max_object_size = SIZE_MAX;  // NOLINT(readability-identifier-naming)
  static constexpr std::size_t max_array_size = SIZE_MAX;   // NOLINT(readability-identifier-naming)
  static constexpr std::size_t max_key_size = SIZE_MAX;     // NOLINT(readability-identifier-naming)
  static constexpr std::size_t max_string_size = SIZE_MAX;  // NOLINT(readability-identifier-naming)

  explicit Builder(std::size_t values) : values_left_(values) {}

  [[nodiscard]] const std::string& failure() const { return failure_; }

  [[nodiscard]] bool is_over_limit() const { return is_over_limit_; }

  Value take() { return std::move(result_); }

  static bool on_document_begin(bj::error_code& /*ec*/) { return true; }

  static bool on_document_end(bj::error_code& /*ec*/) { return true; }

  bool on_array_begin(bj::error_code& ec) {
    open_.push_back({.is_array = true});
    return count(ec);
  }

  bool on_array_end(std::size_t /*count*/, bj::error_code& /*ec*/) {
    Value value(std::move(open_.back().array));
    open_.pop_back();
    return place(std::move(value));
  }

  bool on_object_begin(bj::error_code& ec) {
    open_.push_back({});
    return count(ec);
  }

  bool on_object_end(std::size_t /*count*/, bj::error_code& ec) {
    Object object = std::move(open_.back().object);
    open_.pop_back();
    std::vector<std::string_view> names;
    names.reserve(object.size());
    for (const Member& member : object) {
      names.push_back(member.name);
    }
    std::ranges::sort(names);
    if (const auto twice = std::ranges::adjacent_find(names); twice != names.end()) {
      failure_ = "the member " + quote(*twice) + " stands twice in an object";
      return stop(ec);
    }
    return place(Value(std::move(object)));
  }

  bool on_string_part(bj::string_view part, std::size_t /*size*/, bj::error_code& /*ec*/) {
    text_.append(part.data(), part.size());
    return true;
  }

  bool on_string(bj::string_view part, std::size_t /*size*/, bj::error_code& ec) {
    text_.append(part.data(), part.size());
    return count(ec) && place(Value(std::exchange(text_, {})));
  }

  bool on_key_part(bj::string_view part, std::size_t /*size*/, bj::error_code& /*ec*/) {
    text_.append(part.data(), part.size());
    return true;
  }

  bool on_key(bj::string_view part, std::size_t /*size*/, bj::error_code& /*ec*/) {
    text_.append(part.data(), part.size());
    open_.back().object.push_back({std::exchange(text_, {}), Value()});
    return true;
  }

  static bool on_number_part(bj::string_view /*part*/, bj::error_code& /*ec*/) { return true; }

  bool on_int64(std::int64_t number, bj::string_view /*text*/, bj::error_code& ec) {
    return count(ec) && place(Value(number));
  }

  bool on_uint64(std::uint64_t number, bj::string_view /*text*/, bj::error_code& ec) {
    return count(ec) && place(Value(number));
  }

  // Boost's own conversion may be off by one unit in the last place, and takes integers that do not
  // fit 64 bits for doubles. The text is whole because it is parsed from one buffer.
  bool on_double(double /*number*/, bj::string_view text, bj::error_code& ec) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_integer = text.find_first_of(".eE") == bj::string_view::npos;
    if (error != std::errc() || end != text.data() + text.size() || is_integer ||
        !std::isfinite(number)) {
      failure_ = "a number is out of range";
      return stop(ec);
    }
    return count(ec) && place(Value(number));
  }

  bool on_bool(bool value, bj::error_code& ec) { return count(ec) && place(Value(value)); }

  bool on_null(bj::error_code& ec) { return count(ec) && place(Value()); }

  static bool on_comment_part(bj::string_view /*text*/, bj::error_code& /*ec*/) { return true; }

  static bool on_comment(bj::string_view /*text*/, bj::error_code& /*ec*/) { return true; }

 private:
  /// An array or object whose end has not been seen.
  struct Open {
    bool is_array = false;
    Array array;
    Object object;
  };

  static bool stop(bj::error_code& ec) {
    ec = bj::make_error_code(bj::error::exception);
    return false;
  }

  bool count(bj::error_code& ec) {
    if (values_left_ == 0) {
      is_over_limit_ = true;
      failure_ = "too many values";
      return stop(ec);
    }
    --values_left_;
    return true;
  }

  bool place(Value value) {
    if (open_.empty()) {
      result_ = std::move(value);
    } else if (open_.back().is_array) {
      open_.back().array.push_back(std::move(value));
    } else {
      open_.back().object.back().value = std::move(value);
    }
    return true;
  }

  std::size_t values_left_;
  std::vector<Open> open_;
  std::string text_;
  Value result_;
  std::string failure_;
  bool is_over_limit_ = false;
};

}  // namespace

Result<Value> parse(std::string_view text, std::string_view what, const Limits& limits) {
  if (text.size() > limits.bytes) {
    return fail(ErrorCode::ResourceExhausted, "{}: {} bytes of JSON, at most {} are read", what,
                text.size(), limits.bytes);
  }
  bj::parse_options options;
  options.max_depth = limits.depth;
  bj::basic_parser<Builder> parser(options, limits.values);
  bj::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  if (ec) {
    if (!parser.handler().failure().empty()) {
      return fail(
          parser.handler().is_over_limit() ? ErrorCode::ResourceExhausted : ErrorCode::Invalid,
          "{}: not acceptable JSON: {}", what, parser.handler().failure());
    }
    const bool is_too_deep = ec == bj::error::too_deep;
    return fail(is_too_deep ? ErrorCode::ResourceExhausted : ErrorCode::Invalid,
                "{}: not JSON at byte {}: {}", what, used, ec.message());
  }
  if (used != text.size()) {
    return fail(ErrorCode::Invalid, "{}: not JSON: more text after the value, at byte {}", what,
                used);
  }
  return parser.handler().take();
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = [&](std::size_t offset) {
      return at + offset < text.size() ? static_cast<unsigned char>(text[at + offset]) : 0U;
    };
    const unsigned first = byte(0);
    if (first < 0x80) {
      ++at;
      continue;
    }
    // RFC 3629: the second byte's range excludes overlong forms, surrogates and what is too large.
    unsigned lowest = 0x80;
    unsigned highest = 0xbf;
    std::size_t length = 0;
    if (first >= 0xc2 && first <= 0xdf) {
      length = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
      length = 3;
      lowest = first == 0xe0 ? 0xa0 : lowest;
      highest = first == 0xed ? 0x9f : highest;
    } else if (first >= 0xf0 && first <= 0xf4) {
      length = 4;
      lowest = first == 0xf0 ? 0x90 : lowest;
      highest = first == 0xf4 ? 0x8f : highest;
    } else {
      return false;
    }
    if (byte(1) < lowest || byte(1) > highest) {
      return false;
    }
    for (std::size_t offset = 2; offset < length; ++offset) {
      if (byte(offset) < 0x80 || byte(offset) > 0xbf) {
        return false;
      }
    }
    at += length;
  }
  return true;
}

}  // namespace bulkhead::json
