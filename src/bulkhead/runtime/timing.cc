#include "bulkhead/runtime/timing.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/file.h"

namespace bulkhead::runtime {

void Timing::mark(std::string_view phase, SteadyTime when) { host_.emplace_back(phase, when); }

void Timing::mark(std::string_view phase, const std::optional<SteadyTime>& when) {
  if (when) {
    mark(phase, *when);
  }
}

void Timing::mark_guest(std::string phase, std::chrono::nanoseconds since_boot) {
  guest_.emplace_back(std::move(phase), since_boot);
}

std::string Timing::to_json() const {
  auto sorted = host_;
  std::ranges::stable_sort(sorted, {}, &std::pair<std::string, SteadyTime>::second);
  json::Array host;
  for (const auto& [phase, when] : sorted) {
    json::Value one;
    one.set("phase", phase);
    one.set("monotonic_nanoseconds",
            std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count());
    host.push_back(std::move(one));
  }
  json::Array guest;
  for (const auto& [phase, since_boot] : guest_) {
    json::Value one;
    one.set("phase", phase);
    one.set("nanoseconds_since_boot", since_boot.count());
    guest.push_back(std::move(one));
  }
  json::Value value;
  value.set("host", std::move(host));
  value.set("guest", std::move(guest));
  return json::write(value, json::Style::Pretty);
}

Result<> Timing::write(const std::string& path) const {
  return os::write_file_atomically(path, to_json(), 0600).context("timing");
}

}  // namespace bulkhead::runtime
