#include "bulkhead/vmm/accelerator.h"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include <ratio>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/process.h"
#include "bulkhead/vmm/probe_record.h"

namespace bulkhead::vmm {
namespace {

using Outcome = ProbeMeasurement::Outcome;

std::string milliseconds(std::chrono::nanoseconds time) {
  return fmt::format("{:.2f} ms", std::chrono::duration<double, std::milli>(time).count());
}

ProbeMeasurement failed(std::string detail) {
  return {.outcome = Outcome::GuestFailed,
          .detail = std::move(detail),
          .loop_time = {},
          .refuses_arch_capabilities = false};
}

Result<ProbeMeasurement> run_probe(const std::string& program, std::chrono::milliseconds limit) {
  os::Pipe pipe = BH_TRY(os::make_pipe());
  os::Process process =
      BH_TRY(os::spawn({.arguments = {program},
                        .descriptors = {{.source = pipe.write_end.get(), .target = 1}},
                        .environment = std::vector<std::string>{},
                        .working_directory = {}}));
  pipe.write_end.reset();
  const bool is_ready = BH_TRY(os::wait_readable(pipe.read_end.get(), limit));
  ProbeRecord record{};
  const std::size_t size =
      is_ready ? BH_TRY(os::read_some(pipe.read_end.get(), object_bytes(record))) : 0;
  BH_TRY(process.kill(SIGKILL));
  const os::ExitStatus status = BH_TRY(process.wait());
  if (!is_ready) {
    return ProbeMeasurement{
        .outcome = Outcome::TimedOut,
        .detail = fmt::format("a tiny guest was still running after {} ms", limit.count()),
        .loop_time = {},
        .refuses_arch_capabilities = false};
  }
  if (size != sizeof record) {
    return failed("the probe " + status.describe());
  }
  return from_record(record);
}

/// Counts ticks against the monotonic clock for long enough that reading both does not matter.
std::uint32_t measure_tsc_khz() {
#ifdef __x86_64__
  constexpr std::chrono::milliseconds kInterval{20};
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t first = __rdtsc();
  std::this_thread::sleep_for(kInterval);
  const auto end = std::chrono::steady_clock::now();
  const std::uint64_t last = __rdtsc();
  const auto microseconds =
      std::chrono::duration_cast<std::chrono::microseconds>(end - begin).count();
  return static_cast<std::uint32_t>((last - first) * 1000 /
                                    static_cast<std::uint64_t>(microseconds));
#else
  return 0;
#endif
}

Result<std::string> boot_id() {
  std::string id = BH_TRY(os::read_file("/proc/sys/kernel/random/boot_id"));
  while (id.ends_with('\n')) {
    id.pop_back();
  }
  return id;
}

std::optional<Accelerator> parse_accelerator(std::string_view name) {
  for (const Accelerator accelerator : {Accelerator::Tcg, Accelerator::Kvm}) {
    if (name == to_string(accelerator)) {
      return accelerator;
    }
  }
  return std::nullopt;
}

Result<HostAccelerator> read_cache(const std::string& path, std::string_view boot) {
  const std::string text = BH_TRY(os::read_file(path, 16384));
  const json::Value value = BH_TRY(json::parse(text, "accelerator.json"));
  const json::Fields fields = BH_TRY(json::Fields::create(value, "accelerator.json"));
  std::string of_boot;
  std::string name;
  HostAccelerator host;
  BH_TRY(fields.require("boot", of_boot));
  BH_TRY(fields.require("accelerator", name));
  BH_TRY(fields.require("reason", host.decision.reason));
  BH_TRY(fields.require("tsc_khz", host.tsc_khz));
  BH_TRY(fields.require("kvm_refuses_arch_capabilities", host.kvm_refuses_arch_capabilities));
  const std::optional<Accelerator> accelerator = parse_accelerator(name);
  if (of_boot != boot || !accelerator) {
    return fail(ErrorCode::FailedPrecondition, "{}: of another boot", path);
  }
  host.decision.accelerator = *accelerator;
  return host;
}

Result<> write_cache(const std::string& directory, const std::string& path, std::string_view boot,
                     const HostAccelerator& host) {
  json::Value value;
  value.set("boot", boot);
  value.set("accelerator", to_string(host.decision.accelerator));
  value.set("reason", host.decision.reason);
  value.set("tsc_khz", host.tsc_khz);
  value.set("kvm_refuses_arch_capabilities", host.kvm_refuses_arch_capabilities);
  BH_TRY(os::make_directories(directory, 0700));
  return os::write_file_atomically(path, json::write(value, json::Style::Pretty), 0600);
}

}  // namespace

std::string_view to_string(Accelerator accelerator) {
  return accelerator == Accelerator::Kvm ? "kvm" : "tcg";
}

Decision decide(const ProbeMeasurement& measurement) {
  const auto emulate = [](std::string reason) {
    return Decision{.accelerator = Accelerator::Tcg, .reason = std::move(reason)};
  };
  switch (measurement.outcome) {
    case Outcome::NoDevice:
      return emulate("there is no /dev/kvm");
    case Outcome::NotPermitted:
      return emulate("/dev/kvm cannot be opened: " + measurement.detail);
    case Outcome::NoMachine:
      return emulate("/dev/kvm opens but makes no virtual machine: " + measurement.detail);
    case Outcome::GuestFailed:
      return emulate("/dev/kvm does not run a guest: " + measurement.detail);
    case Outcome::TimedOut:
      return emulate("/dev/kvm does not run guest code at native speed: " + measurement.detail);
    case Outcome::Completed:
      break;
  }
  if (measurement.loop_time > kNativeLoopTime) {
    return emulate(fmt::format(
        "/dev/kvm does not run guest code at native speed: {} loops took {}, {} is the limit",
        kProbeIterations, milliseconds(measurement.loop_time), milliseconds(kNativeLoopTime)));
  }
  return {.accelerator = Accelerator::Kvm,
          .reason = fmt::format("/dev/kvm runs guest code at native speed: {} loops took {}",
                                kProbeIterations, milliseconds(measurement.loop_time))};
}

ProbeMeasurement probe_kvm(const std::string& probe_program, std::chrono::milliseconds limit) {
  if (!os::path_exists("/dev/kvm")) {
    return {.outcome = Outcome::NoDevice,
            .detail = {},
            .loop_time = {},
            .refuses_arch_capabilities = false};
  }
  auto measurement = run_probe(probe_program, limit);
  if (!measurement) {
    return failed(measurement.error().message());
  }
  return *std::move(measurement);
}

HostAccelerator host_accelerator(const std::string& run_directory,
                                 const std::string& probe_program) {
  const std::string path = run_directory + "/accelerator.json";
  const auto boot = boot_id();
  if (boot) {
    if (auto cached = read_cache(path, *boot)) {
      return *std::move(cached);
    }
  }
  const ProbeMeasurement measurement = probe_kvm(probe_program);
  const HostAccelerator host{
      .decision = decide(measurement),
      .tsc_khz = measure_tsc_khz(),
      .kvm_refuses_arch_capabilities = measurement.refuses_arch_capabilities};
  if (boot) {
    if (const auto written = write_cache(run_directory, path, *boot, host); !written) {
      log::debug("{}", written.error().message());
    }
  }
  return host;
}

}  // namespace bulkhead::vmm
