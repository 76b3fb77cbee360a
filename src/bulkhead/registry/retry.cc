#include "bulkhead/registry/retry.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include <curl/curl.h>

#include "bulkhead/base/text.h"
#include "bulkhead/registry/http.h"

namespace bulkhead::registry {
namespace {

std::optional<std::chrono::sys_seconds> parse_date(const std::string& text) {
  const std::time_t date = ::curl_getdate(text.c_str(), nullptr);
  return date == -1 ? std::nullopt
                    : std::optional(std::chrono::sys_seconds(std::chrono::seconds(date)));
}

}  // namespace

std::optional<std::chrono::seconds> parse_retry_after(std::string_view text,
                                                      std::chrono::sys_seconds now) {
  if (const auto seconds = parse_decimal<std::int32_t>(text)) {
    return *seconds < 0 ? std::nullopt : std::optional(std::chrono::seconds(*seconds));
  }
  const auto date = parse_date(std::string(text));
  return date ? std::optional(std::max(*date - now, std::chrono::seconds(0))) : std::nullopt;
}

std::chrono::sys_seconds time_of_peer(const std::optional<std::string>& date,
                                      std::chrono::sys_seconds ours) {
  return date ? parse_date(*date).value_or(ours) : ours;
}

std::optional<std::chrono::seconds> retry_after(const HttpResponse& response) {
  const auto header = response.header("retry-after");
  if (!header) {
    return std::nullopt;
  }
  const auto ours = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return parse_retry_after(*header, time_of_peer(response.header("date"), ours));
}

std::optional<std::chrono::milliseconds> Backoff::next(std::optional<std::chrono::seconds> told) {
  if (++failures_ >= limits_.tries || (told && *told > limits_.longest_told)) {
    return std::nullopt;
  }
  const int doublings = std::min(failures_ - 1, 16);
  const auto plain = std::min(limits_.first * (1 << doublings), limits_.longest);
  std::uniform_int_distribution<std::int64_t> jitter(plain.count() / 2, plain.count() * 3 / 2);
  const std::chrono::milliseconds wait(jitter(random_));
  return told ? std::max<std::chrono::milliseconds>(*told, wait) : wait;
}

}  // namespace bulkhead::registry
