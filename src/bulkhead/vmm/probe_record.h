#pragma once

#include <array>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/vmm/accelerator.h"

namespace bulkhead::vmm {

/// What bulkhead-kvm-probe writes to its stdout: one of these.
struct ProbeRecord {
  le32 outcome;  ///< ProbeMeasurement::Outcome
  le64 loop_nanoseconds;
  le32 refuses_arch_capabilities;  ///< 0 or 1
  std::array<char, 112> detail;    ///< NUL-padded
};

static_assert(sizeof(ProbeRecord) == 128 && alignof(ProbeRecord) == 1);

ProbeRecord to_record(const ProbeMeasurement& measurement);
ProbeMeasurement from_record(const ProbeRecord& record);

}  // namespace bulkhead::vmm
