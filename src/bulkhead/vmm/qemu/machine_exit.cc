#include "bulkhead/vmm/qemu/machine_exit.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "bulkhead/base/text.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::vmm::qemu {
namespace {

using Cause = MachineExit::Cause;

/// The panic message on a console, if the guest kernel said its last words there. A guest can forge
/// them; all it gains is another reason in its own record.
std::optional<std::string> panic_in(std::string_view console) {
  const std::size_t begin = console.rfind("Kernel panic - not syncing");
  if (begin == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view line =
      console.substr(begin, std::min(console.find_first_of("\r\n", begin), console.size()) - begin);
  return quote(line);
}

/// QEMU's last error, without its name in front.
std::string last_error(std::string_view errors) {
  while (!errors.empty() && (errors.back() == '\n' || errors.back() == '\r')) {
    errors.remove_suffix(1);
  }
  std::string_view line = errors.substr(errors.rfind('\n') + 1);
  if (const std::size_t colon = line.find(": ");
      colon != std::string_view::npos && line.substr(0, colon).ends_with("qemu")) {
    line.remove_prefix(colon + 2);
  }
  return line.empty() ? std::string() : ": " + quote(line);
}

MachineExit explain_failure(const ExitEvidence& evidence) {
  constexpr unsigned kMebibyteShift = 20;
  if (evidence.errors.find("Cannot allocate memory") != std::string_view::npos) {
    return {.cause = Cause::Failed,
            .status = evidence.status,
            .description =
                fmt::format("the host has no memory for a machine of {} MiB{}",
                            evidence.memory_bytes >> kMebibyteShift, last_error(evidence.errors))};
  }
  return {.cause = Cause::Failed,
          .status = evidence.status,
          .description =
              fmt::format("qemu {}{}", evidence.status.describe(), last_error(evidence.errors))};
}

}  // namespace

MachineExit explain_exit(const ExitEvidence& evidence) {
  if (evidence.status.signal != 0) {
    const bool was_ours = evidence.quit_was_asked || evidence.kill_was_asked;
    return {.cause = Cause::Killed,
            .status = evidence.status,
            .description = fmt::format("qemu {}{}", evidence.status.describe(),
                                       was_ours ? " as asked" : last_error(evidence.errors))};
  }
  if (evidence.status.code != 0) {
    return explain_failure(evidence);
  }
  if (evidence.quit_was_asked) {
    return {.cause = Cause::Shutdown, .status = evidence.status, .description = "quit as asked"};
  }
  if (const auto panic = panic_in(evidence.console);
      panic || evidence.shutdown_reason == "guest-panic") {
    return {.cause = Cause::GuestPanic,
            .status = evidence.status,
            .description = "the guest kernel panicked: " + panic.value_or("without a word")};
  }
  if (!evidence.shutdown_reason) {
    return explain_failure(evidence);
  }
  const bool is_reset = *evidence.shutdown_reason == "guest-reset";
  return {.cause = Cause::Shutdown,
          .status = evidence.status,
          .description = is_reset
                             ? "the guest reset its machine"
                             : "the machine shut down (" + quote(*evidence.shutdown_reason) + ")"};
}

}  // namespace bulkhead::vmm::qemu
