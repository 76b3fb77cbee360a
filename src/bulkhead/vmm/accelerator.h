#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead::vmm {

enum class Accelerator : std::uint8_t { Tcg, Kvm };

/// "tcg", "kvm"
std::string_view to_string(Accelerator accelerator);

/// What a probe of /dev/kvm found.
struct ProbeMeasurement {
  enum class Outcome : std::uint8_t {
    NoDevice,      ///< /dev/kvm is absent
    NotPermitted,  ///< it cannot be opened by us
    NoMachine,     ///< it opens, but creates no virtual machine or processor
    GuestFailed,   ///< the tiny guest stopped with an error
    TimedOut,      ///< it was still running at the limit
    Completed,
  };

  Outcome outcome = Outcome::NoDevice;
  /// What failed, for people; empty when Completed.
  std::string detail;
  /// How long the guest's counted loop took. Only when Completed.
  std::chrono::nanoseconds loop_time{};
  /// KVM offers a value of IA32_ARCH_CAPABILITIES that it does not take. Not known after TimedOut.
  bool refuses_arch_capabilities = false;

  bool operator==(const ProbeMeasurement&) const = default;
};

struct Decision {
  Accelerator accelerator = Accelerator::Tcg;
  /// One line for people: why this one.
  std::string reason;

  bool operator==(const Decision&) const = default;
};

/// Iterations of the probe's loop, and the longest time for which KVM counts as running guest code
/// natively. One iteration is two instructions: 1 ms at most on hardware; an emulator that decodes
/// each one takes far longer.
inline constexpr std::uint32_t kProbeIterations = 1'000'000;
inline constexpr std::chrono::milliseconds kNativeLoopTime{10};

/// KVM when the guest completed in time, else TCG. Pure.
Decision decide(const ProbeMeasurement& measurement);

/// Runs a tiny guest through the KVM interface itself: it enters long mode, executes CMPXCHG16B and
/// a counted loop. A process of its own (`probe_program`, libexec/bulkhead-kvm-probe) does it and
/// is killed at `limit`: this never hangs.
ProbeMeasurement probe_kvm(const std::string& probe_program,
                           std::chrono::milliseconds limit = std::chrono::milliseconds(100));

/// What a host's virtual machines run on.
struct HostAccelerator {
  Decision decision;
  /// The rate of the processor's time stamp counter. A guest under TCG sees the same counter and
  /// has nothing to calibrate it against. 0: not known.
  std::uint32_t tsc_khz = 0;
  /// As in ProbeMeasurement.
  bool kvm_refuses_arch_capabilities = false;

  bool operator==(const HostAccelerator&) const = default;
};

/// That of this boot of the host: from `run_directory`/accelerator.json, or measured, which takes a
/// tenth of a second at most, and written there. A file that is damaged or of another boot is
/// replaced; one that cannot be written only costs the next caller a measurement.
HostAccelerator host_accelerator(const std::string& run_directory,
                                 const std::string& probe_program);

}  // namespace bulkhead::vmm
