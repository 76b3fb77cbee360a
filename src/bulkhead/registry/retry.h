#pragma once

#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "bulkhead/registry/http.h"

namespace bulkhead::registry {

/// What a Retry-After header says: seconds, or a date. Nothing when it says neither.
/// Source: RFC 9110 section 10.2.3.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view text,
                                                      std::chrono::sys_seconds now);

/// What time it is: as the answer's Date header says, else `ours`. A date to come back at is the
/// peer's, and this host's clock may be wrong.
std::chrono::sys_seconds time_of_peer(const std::optional<std::string>& date,
                                      std::chrono::sys_seconds ours);

/// How long an answer asks to wait.
std::optional<std::chrono::seconds> retry_after(const HttpResponse& response);

/// How long to wait between tries: twice as long each time, give or take half, so that many who
/// failed together do not come back together; what the peer asks for instead, if that is bearable.
class Backoff {
 public:
  struct Limits {
    int tries = 5;  ///< the first counts
    std::chrono::milliseconds first{500};
    std::chrono::milliseconds longest{15'000};
    std::chrono::seconds longest_told{60};
  };

  Backoff() : Backoff(Limits()) {}

  explicit Backoff(const Limits& limits) : limits_(limits), random_(std::random_device()()) {}

  /// How long to wait before the next try; nothing when it is time to give up. `told` is what the
  /// peer asked for.
  std::optional<std::chrono::milliseconds> next(std::optional<std::chrono::seconds> told = {});

  /// It went well: begins again.
  void reset() { failures_ = 0; }

 private:
  Limits limits_;
  int failures_ = 0;
  std::minstd_rand random_;
};

}  // namespace bulkhead::registry
