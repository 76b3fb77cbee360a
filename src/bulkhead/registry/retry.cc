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

std::optional<std::chrono::seconds> parse_retry_after(std::string_view text,
                                                      std::chrono::sys_seconds now) {
  if (const auto seconds = parse_decimal<std::int32_t>(text)) {
    return *seconds < 0 ? std::nullopt : std::optional(std::chrono::seconds(*seconds));
  }
  const std::time_t date = ::curl_getdate(std::string(text).c_str(), nullptr);
  if (date == -1) {
    return std::nullopt;
  }
  const auto wait = std::chrono::sys_seconds(std::chrono::seconds(date)) - now;
  return std::max(wait, std::chrono::seconds(0));
}

std::optional<std::chrono::seconds> retry_after(const HttpResponse& response) {
  const auto header = response.header("retry-after");
  if (!header) {
    return std::nullopt;
  }
  return parse_retry_after(
      *header, std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
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
