// bulkhead-kvm-probe: does /dev/kvm run real guest code at native speed?
//
// Makes a virtual machine of one processor and 2 MiB of memory, puts the processor straight into
// long mode and lets it execute CMPXCHG16B and a counted loop. Some hosts offer a /dev/kvm that
// emulates every instruction: it opens, it creates machines, and then a boot takes minutes, or dies
// on the first instruction that the emulator does not know. Only running something tells.
//
// Writes one ProbeRecord to stdout. May hang in an emulator; the caller kills it. KVM is driven by
// ioctls here and nowhere else, so these are not in `os`.
// Source: kernel Documentation/virt/kvm/api.rst; Intel SDM vol. 3, 4.5 (4-level paging).

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/probe_record.h"

#ifndef __x86_64__
#error "the probe's guest is x86-64 code"
#endif

namespace bulkhead::vmm {
namespace {

using Outcome = ProbeMeasurement::Outcome;

constexpr std::size_t kMemoryBytes = 2U << 20U;
// Guest physical addresses.
constexpr std::uint64_t kTopTable = 0x1000;
constexpr std::uint64_t kUpperTable = 0x2000;
constexpr std::uint64_t kMiddleTable = 0x3000;
constexpr std::uint64_t kScratch = 0x4000;
constexpr std::uint64_t kCode = 0x5000;

constexpr std::uint64_t kPresentWritable = 0x3;
constexpr std::uint64_t kLargePage = 0x80;

/// RSI holds kScratch, EDI the number of iterations. HLT once before the loop and once after it, so
/// that the loop alone is timed.
constexpr std::array<std::uint8_t, 23> kGuest = {
    0x31, 0xc0,              // xor eax, eax
    0x31, 0xd2,              // xor edx, edx
    0x48, 0x0f, 0xc7, 0x0e,  // cmpxchg16b [rsi]
    0x75, 0x09,              // jne failed: memory was zero
    0xf4,                    // hlt
    0xff, 0xcf,              // again: dec edi
    0x75, 0xfc,              // jnz again
    0xf4,                    // hlt
    0x0f, 0x0b, 0x90,        // ud2
    0x0f, 0x0b, 0x90, 0x90,  // failed: ud2
};

/// struct kvm_cpuid2 with its entries. The kernel's header declares a flexible array, which makes
/// the struct 12 bytes long in C++ and the ioctl numbers made from its size wrong.
struct CpuidTable {
  std::uint32_t count;
  std::uint32_t padding;
  std::array<kvm_cpuid_entry2, 256> entries;
};

constexpr unsigned long kGetSupportedCpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 8);
constexpr unsigned long kSetCpuid = _IOC(_IOC_WRITE, KVMIO, 0x90, 8);

/// struct kvm_msrs with one entry; the same holds for it.
struct OneMsr {
  std::uint32_t count;
  std::uint32_t padding;
  kvm_msr_entry entry;
};

constexpr unsigned long kGetMsrs = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x88, 8);
constexpr unsigned long kSetMsrs = _IOC(_IOC_WRITE, KVMIO, 0x89, 8);

class Failure {
 public:
  Failure(Outcome outcome, std::string detail)
      : measurement_{.outcome = outcome, .detail = std::move(detail), .loop_time = {}} {}

  [[nodiscard]] const ProbeMeasurement& measurement() const { return measurement_; }

 private:
  ProbeMeasurement measurement_;
};

template <class T>
using Step = std::expected<T, Failure>;

std::unexpected<Failure> broken(Outcome outcome, std::string_view what) {
  return std::unexpected(Failure(outcome, fmt::format("{}: {}", what, ::strerrordesc_np(errno))));
}

struct Machine {
  os::UniqueFd device;
  os::UniqueFd machine;
  os::UniqueFd processor;
  std::byte* memory = nullptr;
  kvm_run* run = nullptr;
};

Step<Machine> create_machine() {
  Machine vm;
  auto device = os::open_file("/dev/kvm", O_RDWR);
  if (!device) {
    return std::unexpected(Failure(
        device.error().code() == ErrorCode::NotFound ? Outcome::NoDevice : Outcome::NotPermitted,
        device.error().message()));
  }
  vm.device = *std::move(device);
  if (::ioctl(vm.device.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
    return broken(Outcome::NoMachine, "KVM_GET_API_VERSION");
  }
  vm.machine.reset(::ioctl(vm.device.get(), KVM_CREATE_VM, 0));
  if (!vm.machine.is_open()) {
    return broken(Outcome::NoMachine, "KVM_CREATE_VM");
  }
  // Intel before "unrestricted guest" needs three pages of its own for real mode.
  ::ioctl(vm.machine.get(), KVM_SET_TSS_ADDR, 0xfffbd000UL);
  void* memory =
      ::mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return broken(Outcome::NoMachine, "guest memory");
  }
  vm.memory = static_cast<std::byte*>(memory);
  kvm_userspace_memory_region region{};
  region.memory_size = kMemoryBytes;
  region.userspace_addr = reinterpret_cast<std::uint64_t>(memory);
  if (::ioctl(vm.machine.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) {
    return broken(Outcome::NoMachine, "KVM_SET_USER_MEMORY_REGION");
  }
  vm.processor.reset(::ioctl(vm.machine.get(), KVM_CREATE_VCPU, 0));
  if (!vm.processor.is_open()) {
    return broken(Outcome::NoMachine, "KVM_CREATE_VCPU");
  }
  const int size = ::ioctl(vm.device.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  void* run = size < 0 ? MAP_FAILED
                       : ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE,
                                MAP_SHARED, vm.processor.get(), 0);
  if (run == MAP_FAILED) {
    return broken(Outcome::NoMachine, "map the processor");
  }
  vm.run = static_cast<kvm_run*>(run);
  return vm;
}

/// What the host's processor has, so that the guest may use CMPXCHG16B.
Step<bool> copy_cpuid(const Machine& vm) {
  CpuidTable cpuid{};
  cpuid.count = static_cast<std::uint32_t>(cpuid.entries.size());
  if (::ioctl(vm.device.get(), kGetSupportedCpuid, &cpuid) != 0) {
    return broken(Outcome::NoMachine, "KVM_GET_SUPPORTED_CPUID");
  }
  if (::ioctl(vm.processor.get(), kSetCpuid, &cpuid) != 0) {
    return broken(Outcome::NoMachine, "KVM_SET_CPUID2");
  }
  return true;
}

/// Some hosts offer a value of IA32_ARCH_CAPABILITIES and then refuse to take it; QEMU gives up on
/// that unless it is told to leave the register out.
bool refuses_arch_capabilities(const Machine& vm) {
  constexpr std::uint32_t kArchCapabilities = 0x10a;
  OneMsr msr{};
  msr.count = 1;
  msr.entry.index = kArchCapabilities;
  return ::ioctl(vm.device.get(), kGetMsrs, &msr) == 1 &&
         ::ioctl(vm.processor.get(), kSetMsrs, &msr) != 1;
}

void write_memory(const Machine& vm, std::uint64_t address, Bytes bytes) {
  std::memcpy(vm.memory + address, bytes.data(), bytes.size());
}

void write_tables(const Machine& vm) {
  write_memory(vm, kTopTable, object_bytes(le64(kUpperTable | kPresentWritable)));
  write_memory(vm, kUpperTable, object_bytes(le64(kMiddleTable | kPresentWritable)));
  write_memory(vm, kMiddleTable, object_bytes(le64(kPresentWritable | kLargePage)));
  write_memory(vm, kCode, std::as_bytes(std::span(kGuest)));
}

kvm_segment flat_segment(std::uint8_t type, std::uint16_t selector) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.present = 1;
  segment.type = type;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

Step<bool> enter_long_mode(const Machine& vm) {
  kvm_sregs special{};
  if (::ioctl(vm.processor.get(), KVM_GET_SREGS, &special) != 0) {
    return broken(Outcome::NoMachine, "KVM_GET_SREGS");
  }
  special.cs = flat_segment(11, 8);  // execute, read
  special.cs.l = 1;
  const kvm_segment data = flat_segment(3, 16);  // read, write
  special.ds = special.es = special.fs = special.gs = special.ss = data;
  special.cr3 = kTopTable;
  special.cr4 = 0x20;        // PAE
  special.cr0 = 0x80000033;  // PG, NE, ET, MP, PE
  special.efer = 0x500;      // LMA, LME
  if (::ioctl(vm.processor.get(), KVM_SET_SREGS, &special) != 0) {
    return broken(Outcome::NoMachine, "KVM_SET_SREGS");
  }
  kvm_regs registers{};
  registers.rip = kCode;
  registers.rsi = kScratch;
  registers.rdi = kProbeIterations;
  registers.rflags = 2;
  if (::ioctl(vm.processor.get(), KVM_SET_REGS, &registers) != 0) {
    return broken(Outcome::NoMachine, "KVM_SET_REGS");
  }
  return true;
}

/// Until the guest's next HLT.
Step<bool> run_to_halt(const Machine& vm) {
  while (::ioctl(vm.processor.get(), KVM_RUN, 0) != 0) {
    if (errno != EINTR && errno != EAGAIN) {
      return broken(Outcome::GuestFailed, "KVM_RUN");
    }
  }
  if (vm.run->exit_reason == KVM_EXIT_HLT) {
    return true;
  }
  return std::unexpected(Failure(
      Outcome::GuestFailed,
      fmt::format("a tiny guest stopped with exit reason {}{}", vm.run->exit_reason,
                  vm.run->exit_reason == KVM_EXIT_INTERNAL_ERROR ? " (internal error)" : "")));
}

Step<std::chrono::nanoseconds> time_guest(const Machine& vm) {
  write_tables(vm);
  for (const auto step : {copy_cpuid, enter_long_mode, run_to_halt}) {
    if (auto done = step(vm); !done) {
      return std::unexpected(done.error());
    }
  }
  const auto begin = std::chrono::steady_clock::now();
  if (auto done = run_to_halt(vm); !done) {
    return std::unexpected(done.error());
  }
  return std::chrono::steady_clock::now() - begin;
}

ProbeMeasurement measure() {
  const auto vm = create_machine();
  if (!vm) {
    return vm.error().measurement();
  }
  const auto time = time_guest(*vm);
  ProbeMeasurement measurement =
      time ? ProbeMeasurement{.outcome = Outcome::Completed, .detail = {}, .loop_time = *time}
           : time.error().measurement();
  measurement.refuses_arch_capabilities = refuses_arch_capabilities(*vm);
  return measurement;
}

}  // namespace
}  // namespace bulkhead::vmm

int main() {
  using namespace bulkhead;
  return os::write_all(1, object_bytes(vmm::to_record(vmm::measure()))) ? 0 : 1;
}
