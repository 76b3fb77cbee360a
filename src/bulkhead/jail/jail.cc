#include "bulkhead/jail/jail.h"

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/jail/spec_codec.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/privilege.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::jail {
namespace {

/// Far above the few milliseconds that it takes: a host that thrashes is not a broken one.
constexpr std::chrono::seconds kLaunchTimeout{30};

bool is_plain_absolute(const std::string& path) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos) {
    return false;
  }
  const auto pieces = split(std::string_view(path).substr(1), '/');
  return std::ranges::none_of(pieces, [](std::string_view piece) {
    return piece.empty() || piece == "." || piece == "..";
  });
}

bool holds_nul(const std::vector<std::string>& texts) {
  return std::ranges::any_of(
      texts, [](const std::string& text) { return text.find('\0') != std::string::npos; });
}

Result<> check(const JailSpec& spec) {
  if (spec.host_id == 0) {
    return fail(ErrorCode::Invalid, "jail: user 0 is not one to jail");
  }
  if (spec.arguments.empty() || !is_plain_absolute(spec.arguments.front())) {
    return fail(ErrorCode::Invalid, "jail: no absolute program path");
  }
  if (holds_nul(spec.arguments) || holds_nul(spec.environment)) {
    return fail(ErrorCode::Invalid, "jail: NUL in an argument");
  }
  std::vector<std::string> targets = spec.directories;
  const auto collect = [&targets](const auto& placed) {
    for (const auto& one : placed) {
      targets.push_back(one.target);
    }
  };
  collect(spec.binds);
  collect(spec.shares);
  collect(spec.devices);
  for (const std::string& target : targets) {
    if (!is_plain_absolute(target)) {
      return fail(ErrorCode::Invalid, "jail: target {}: not a plain absolute path", quote(target));
    }
  }
  return {};
}

/// What the helper said until it closed its end.
struct Report {
  std::optional<pid_t> pid;
  std::optional<Error> error;
};

Result<Report> read_report(int pipe) {
  const auto deadline = std::chrono::steady_clock::now() + kLaunchTimeout;
  Report report;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (!BH_TRY(os::wait_readable(pipe, left))) {
      report.error = fail(ErrorCode::Timeout, "not ready after {} s", kLaunchTimeout.count());
      return report;
    }
    ReportRecord record{};
    const std::size_t size = BH_TRY(os::read_some(pipe, object_bytes(record)));
    if (size == 0) {
      return report;
    }
    if (size != sizeof record) {
      report.error = fail(ErrorCode::Internal, "the helper's report is damaged");
    } else if (record.kind == ReportRecord::kPid) {
      report.pid = static_cast<pid_t>(std::uint32_t{record.pid});
    } else if (!report.error) {
      report.error = record_error(record);
    }
  }
}

/// Reaps the jailed process of a launch that failed.
void bury(pid_t pid) {
  if (auto process = os::Process::adopt(pid)) {
    std::ignore = process->kill(SIGKILL);
    std::ignore = process->wait();
  }
}

struct Helper {
  os::Process process;
  os::UniqueFd report;
};

Result<Helper> start_helper(const std::string& helper, const JailSpec& spec) {
  const std::string encoded = encode_spec(spec);
  if (encoded.size() > kLargestSpec) {
    return fail(ErrorCode::Invalid, "the spec has {} bytes, {} is the limit", encoded.size(),
                kLargestSpec);
  }
  const os::UniqueFd file = BH_TRY(os::make_memfd("jail-spec"));
  BH_TRY(os::pwrite_all(file.get(), as_bytes(encoded), 0));
  os::Pipe report = BH_TRY(os::make_pipe());
  // The descriptors of the jail stand in their final places already; these two go behind them.
  int highest = 2;
  for (const os::FdMapping& mapping : spec.descriptors) {
    highest = std::max(highest, mapping.target);
  }
  os::SpawnOptions options{
      .arguments = {helper, std::to_string(highest + 1), std::to_string(highest + 2)},
      .descriptors = spec.descriptors,
      .environment = std::vector<std::string>{},
      .working_directory = {}};
  options.descriptors.push_back({.source = file.get(), .target = highest + 1});
  options.descriptors.push_back({.source = report.write_end.get(), .target = highest + 2});
  os::Process process = BH_TRY(os::spawn(options));
  return Helper{.process = std::move(process), .report = std::move(report.read_end)};
}

Result<os::Process> launch_checked(const std::string& helper, const JailSpec& spec) {
  Helper running = BH_TRY(start_helper(helper, spec));
  auto report = read_report(running.report.get());
  if (!report || report->error) {
    std::ignore = running.process.kill(SIGKILL);
  }
  const os::ExitStatus status = BH_TRY(running.process.wait());
  if (!report) {
    return std::move(report).error();
  }
  if (report->error || !report->pid) {
    if (report->pid) {
      bury(*report->pid);
    }
    if (report->error) {
      return *std::move(report->error);
    }
    return fail(ErrorCode::Internal, "{} {}", helper, status.describe());
  }
  return os::Process::adopt(*report->pid);
}

}  // namespace

Result<os::Process> launch(const std::string& helper, const JailSpec& spec) {
  BH_TRY(check(spec));
  if (os::effective_user() != 0) {
    return fail(ErrorCode::PermissionDenied,
                "jail: only root can give each machine a user of its own; run as root");
  }
  return launch_checked(helper, spec).context("jail");
}

}  // namespace bulkhead::jail
