#include "bulkhead/json/write.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"

namespace bulkhead::json {
namespace {

/// Length of the UTF-8 sequence at the front of `text`; 0 when there is none.
std::size_t sequence_length(std::string_view text) {
  for (std::size_t length = 1; length <= std::min<std::size_t>(4, text.size()); ++length) {
    if (is_utf8(text.substr(0, length))) {
      return length;
    }
  }
  return 0;
}

class Writer {
 public:
  explicit Writer(Style style) : is_pretty_(style == Style::Pretty) {}

  std::string take() {
    if (is_pretty_) {
      out_ += '\n';
    }
    return std::move(out_);
  }

  void put(const Value& value) {
    value.visit([&](const auto& data) { put_data(data); });
  }

 private:
  void put_data(std::nullptr_t /*null*/) { out_ += "null"; }

  void put_data(bool value) { out_ += value ? "true" : "false"; }

  void put_data(std::int64_t value) { fmt::format_to(std::back_inserter(out_), "{}", value); }

  void put_data(std::uint64_t value) { fmt::format_to(std::back_inserter(out_), "{}", value); }

  void put_data(double value) {
    if (!std::isfinite(value)) {
      out_ += "null";
      return;
    }
    const std::string text = fmt::format("{}", value);
    out_ += text;
    // It stays a double when it is read again.
    if (text.find_first_of(".e") == std::string::npos) {
      out_ += ".0";
    }
  }

  void put_data(const std::string& text) {
    out_ += '"';
    std::string_view rest(text);
    while (!rest.empty()) {
      const char c = rest.front();
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (c == '\n') {
        out_ += "\\n";
      } else if (c == '\t') {
        out_ += "\\t";
      } else if (c == '\r') {
        out_ += "\\r";
      } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        fmt::format_to(std::back_inserter(out_), "\\u{:04x}", static_cast<unsigned>(c));
      } else if (static_cast<unsigned char>(c) < 0x80) {
        out_ += c;
      } else if (const std::size_t length = sequence_length(rest); length > 0) {
        out_ += rest.substr(0, length);
        rest.remove_prefix(length);
        continue;
      } else {
        out_ += "\xef\xbf\xbd";
      }
      rest.remove_prefix(1);
    }
    out_ += '"';
  }

  void put_data(const Array& array) {
    put_list('[', ']', array, [&](const Value& value) { put(value); });
  }

  void put_data(const Object& object) {
    put_list('{', '}', object, [&](const Member& member) {
      put_data(member.name);
      out_ += is_pretty_ ? ": " : ":";
      put(member.value);
    });
  }

  template <class List, class Put>
  void put_list(char open, char close, const List& list, Put put_one) {
    out_ += open;
    ++depth_;
    bool is_first = true;
    for (const auto& one : list) {
      if (!is_first) {
        out_ += ',';
      }
      is_first = false;
      break_line();
      put_one(one);
    }
    --depth_;
    if (!is_first) {
      break_line();
    }
    out_ += close;
  }

  void break_line() {
    if (is_pretty_) {
      out_ += '\n';
      out_.append(2 * depth_, ' ');
    }
  }

  bool is_pretty_;
  std::size_t depth_ = 0;
  std::string out_;
};

}  // namespace

std::string write(const Value& value, Style style) {
  Writer writer(style);
  writer.put(value);
  return writer.take();
}

}  // namespace bulkhead::json
