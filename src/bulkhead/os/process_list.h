#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

struct ListedProcess {
  pid_t pid = 0;
  pid_t parent = 0;

  bool operator==(const ListedProcess&) const = default;
};

/// Every process that /proc shows now.
Result<std::vector<ListedProcess>> list_processes();

/// From the content of /proc/PID/stat. Nothing for what is none.
std::optional<ListedProcess> parse_process_status(std::string_view content);

/// `root`, its children, their children and so on.
std::vector<pid_t> process_tree(const std::vector<ListedProcess>& processes, pid_t root);

/// The memory that a process has for itself, and its share of what it has with others (PSS), in
/// bytes. Errors: NotFound for one that has ended; PermissionDenied.
Result<std::uint64_t> proportional_memory(pid_t pid);

}  // namespace bulkhead::os
