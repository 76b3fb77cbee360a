#include "bulkhead/os/process_list.h"

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/os/file.h"

namespace bulkhead::os {
namespace {

constexpr std::size_t kLongestStatus = 4096;

}  // namespace

std::optional<ListedProcess> parse_process_status(std::string_view content) {
  // "12 (name) S 1 …": the name may hold anything, also brackets and blanks.
  const std::size_t name_end = content.rfind(')');
  if (name_end == std::string_view::npos) {
    return std::nullopt;
  }
  const auto pid = parse_decimal<pid_t>(content.substr(0, content.find(' ')));
  const std::vector<std::string_view> rest = split(content.substr(name_end + 1), ' ');
  const auto parent = rest.size() > 2 ? parse_decimal<pid_t>(rest[2]) : std::nullopt;
  if (!pid || !parent) {
    return std::nullopt;
  }
  return ListedProcess{.pid = *pid, .parent = *parent};
}

Result<std::vector<ListedProcess>> list_processes() {
  std::vector<ListedProcess> processes;
  for (const std::string& name : BH_TRY(list_directory("/proc"))) {
    if (!parse_decimal<pid_t>(name)) {
      continue;
    }
    // One that has ended meanwhile is none.
    const auto content = read_file("/proc/" + name + "/stat", kLongestStatus);
    const auto process = content ? parse_process_status(*content) : std::nullopt;
    if (process) {
      processes.push_back(*process);
    }
  }
  return processes;
}

std::vector<pid_t> process_tree(const std::vector<ListedProcess>& processes, pid_t root) {
  std::unordered_multimap<pid_t, pid_t> children;
  for (const ListedProcess& process : processes) {
    if (process.pid != process.parent) {
      children.emplace(process.parent, process.pid);
    }
  }
  std::vector<pid_t> tree = {root};
  // A list that was read while processes came and went may have a circle in it.
  for (std::size_t i = 0; i < tree.size() && tree.size() <= processes.size(); ++i) {
    const auto [begin, end] = children.equal_range(tree[i]);
    for (auto child = begin; child != end; ++child) {
      tree.push_back(child->second);
    }
  }
  return tree;
}

Result<std::uint64_t> proportional_memory(pid_t pid) {
  constexpr std::string_view kKey = "Pss:";
  constexpr std::uint64_t kUnit = 1024;
  const auto content = read_file(fmt::format("/proc/{}/smaps_rollup", pid), kLongestStatus);
  if (!content) {
    // What the kernel says of one that is ending.
    return content.error().os_error() == ESRCH
               ? Error(ErrorCode::NotFound, fmt::format("process {}: has ended", pid))
               : content.error();
  }
  for (const std::string_view line : split(*content, '\n')) {
    if (line.starts_with(kKey)) {
      const std::size_t begin = line.find_first_not_of(' ', kKey.size());
      const std::size_t end = line.rfind(" kB");
      if (begin != std::string_view::npos && end != std::string_view::npos && begin < end) {
        return parse_decimal<std::uint64_t>(line.substr(begin, end - begin)).value_or(0) * kUnit;
      }
    }
  }
  return std::uint64_t{0};  // a process without memory of its own
}

}  // namespace bulkhead::os
