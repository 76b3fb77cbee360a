#include "bulkhead/vmm/probe_record.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/vmm/accelerator.h"

namespace bulkhead::vmm {

ProbeRecord to_record(const ProbeMeasurement& measurement) {
  ProbeRecord record{};
  record.outcome = static_cast<std::uint32_t>(measurement.outcome);
  record.loop_nanoseconds = static_cast<std::uint64_t>(measurement.loop_time.count());
  record.refuses_arch_capabilities = measurement.refuses_arch_capabilities ? 1U : 0U;
  std::ranges::copy(std::string_view(measurement.detail).substr(0, record.detail.size()),
                    record.detail.begin());
  return record;
}

ProbeMeasurement from_record(const ProbeRecord& record) {
  using Outcome = ProbeMeasurement::Outcome;
  const std::uint32_t outcome = record.outcome;
  const std::uint64_t nanoseconds = record.loop_nanoseconds;
  return {.outcome = outcome <= static_cast<std::uint32_t>(Outcome::Completed)
                         ? static_cast<Outcome>(outcome)
                         : Outcome::GuestFailed,
          .detail = std::string(record.detail.begin(), std::ranges::find(record.detail, '\0')),
          .loop_time = std::chrono::nanoseconds(nanoseconds),
          .refuses_arch_capabilities = record.refuses_arch_capabilities != 0};
}

}  // namespace bulkhead::vmm
