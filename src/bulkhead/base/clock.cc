#include "bulkhead/base/clock.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead {

WallTime wall_now() {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

std::string format_rfc3339(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

namespace {

/// Takes fixed-width decimal fields and literal characters off the front of a text.
class FieldReader {
 public:
  explicit FieldReader(std::string_view text) : rest_(text) {}

  bool literal(std::string_view any_of) {
    if (rest_.empty() || !any_of.contains(rest_.front())) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }

  std::optional<int> number(std::size_t digits) {
    if (rest_.size() < digits) {
      return std::nullopt;
    }
    int value = 0;
    for (const char c : rest_.substr(0, digits)) {
      if (c < '0' || c > '9') {
        return std::nullopt;
      }
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(digits);
    return value;
  }

  /// Up to nine digits as nanoseconds.
  std::optional<std::chrono::nanoseconds> fraction() {
    std::int64_t value = 0;
    std::size_t digits = 0;
    while (digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9') {
      if (digits < 9) {
        value = value * 10 + (rest_[digits] - '0');
      }
      ++digits;
    }
    if (digits == 0) {
      return std::nullopt;
    }
    for (std::size_t i = digits; i < 9; ++i) {
      value *= 10;
    }
    rest_.remove_prefix(digits);
    return std::chrono::nanoseconds(value);
  }

  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

std::optional<std::chrono::minutes> parse_offset(FieldReader& reader) {
  if (reader.literal("Zz")) {
    return std::chrono::minutes(0);
  }
  const bool negative = reader.rest().starts_with('-');
  if (!reader.literal("+-")) {
    return std::nullopt;
  }
  const auto hours = reader.number(2);
  if (!hours || !reader.literal(":")) {
    return std::nullopt;
  }
  const auto minutes = reader.number(2);
  if (!minutes || *hours > 23 || *minutes > 59) {
    return std::nullopt;
  }
  const std::chrono::minutes offset(*hours * 60 + *minutes);
  return negative ? -offset : offset;
}

std::optional<WallTime> parse_time(std::string_view text) {
  FieldReader reader(text);
  const auto year = reader.number(4);
  if (!year || !reader.literal("-")) {
    return std::nullopt;
  }
  const auto month = reader.number(2);
  if (!month || !reader.literal("-")) {
    return std::nullopt;
  }
  const auto day = reader.number(2);
  if (!day || !reader.literal("Tt ")) {
    return std::nullopt;
  }
  const auto hour = reader.number(2);
  if (!hour || !reader.literal(":")) {
    return std::nullopt;
  }
  const auto minute = reader.number(2);
  if (!minute || !reader.literal(":")) {
    return std::nullopt;
  }
  const auto second = reader.number(2);
  if (!second) {
    return std::nullopt;
  }
  std::chrono::nanoseconds subsecond(0);
  if (reader.literal(".")) {
    const auto fraction = reader.fraction();
    if (!fraction) {
      return std::nullopt;
    }
    subsecond = *fraction;
  }
  const auto offset = parse_offset(reader);
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  // Nanoseconds since 1970 fit 64 bits from 1678 to 2262.
  if (!offset || !reader.rest().empty() || !date.ok() || *hour > 23 || *minute > 59 ||
      *second > 60 || *year < 1678 || *year > 2261) {
    return std::nullopt;
  }
  return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + std::chrono::seconds(*second) + subsecond - *offset;
}

}  // namespace

Result<WallTime> parse_rfc3339(std::string_view text) {
  const auto time = parse_time(text);
  if (!time) {
    return fail(ErrorCode::Invalid, "time {}: not RFC 3339", quote(text));
  }
  return *time;
}

std::string format_duration(std::chrono::seconds duration) {
  const auto seconds = duration.count();
  const auto plural = [](std::int64_t count, std::string_view unit) {
    return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
  };
  static constexpr std::array<std::pair<std::int64_t, std::string_view>, 6> kUnits = {
      {{31536000, "year"},
       {2592000, "month"},
       {604800, "week"},
       {86400, "day"},
       {3600, "hour"},
       {60, "minute"}}};
  for (const auto& [length, unit] : kUnits) {
    if (seconds >= length) {
      return plural(seconds / length, unit);
    }
  }
  return plural(seconds < 0 ? 0 : seconds, "second");
}

std::string format_age(WallTime since, WallTime now) {
  return format_duration(std::chrono::duration_cast<std::chrono::seconds>(now - since));
}

}  // namespace bulkhead
