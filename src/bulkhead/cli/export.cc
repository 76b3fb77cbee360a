#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/copy_range.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::cli {
namespace {

/// A copy of a disk as it is now, without a name: it is gone when its last descriptor is closed.
/// It shares the blocks of the disk where the host's file system can; holes stay holes.
Result<os::UniqueFd> copy_disk(const std::string& path, const std::string& directory) {
  const os::UniqueFd disk = BH_TRY(os::open_file(path, O_RDONLY | O_NOFOLLOW));
  os::UniqueFd copy = BH_TRY(os::open_file(directory, O_TMPFILE | O_RDWR, 0600));
  const std::uint64_t size = BH_TRY(os::file_info(disk.get())).size;
  BH_TRY(os::set_file_size(copy.get(), size));
  for (std::uint64_t at = 0; at < size;) {
    const auto data = BH_TRY(os::next_data(disk.get(), at));
    if (!data) {
      break;
    }
    BH_TRY(os::copy_range({.fd = disk.get(), .offset = data->offset, .length = data->length},
                          copy.get(), data->offset));
    at = data->offset + data->length;
  }
  return copy;
}

/// What the container has written, or nothing when it has not run. The container may be started
/// again, or removed, while it is read.
Result<std::optional<os::UniqueFd>> copy_scratch(const runtime::ContainerStore& store,
                                                 const runtime::StoredContainer& container) {
  const runtime::ContainerRecord& record = container.record;
  const std::string& path = record.options.scratch_path;
  if (container.state.status == runtime::ContainerStatus::Created || !os::path_exists(path)) {
    return std::nullopt;
  }
  const auto lock = BH_TRY(store.try_lock(record.id));
  if (!lock) {
    return fail(ErrorCode::FailedPrecondition,
                "container {}: running, and its disk changes while it does; stop it first",
                record.name);
  }
  auto copy = copy_disk(path, store.bundle(record.id));
  BH_TRY(store.remove_run_directory(record.id));
  return copy ? Result<std::optional<os::UniqueFd>>(*std::move(copy)) : std::move(copy).error();
}

}  // namespace

Result<int> export_container(const config::Paths& paths, const ExportOptions& options) {
  if (options.output == "-" && os::is_terminal(STDOUT_FILENO)) {
    return fail(ErrorCode::Invalid,
                "export: an archive is not for a terminal: use -o FILE, or redirect the output");
  }
  const auto store = BH_TRY(open_containers(paths));
  const auto container = BH_TRY(store.find(options.container));
  const auto scratch = BH_TRY(copy_scratch(store, container).context("export"));
  std::vector<std::string> arguments = {"export", "--output", options.output};
  if (scratch) {
    BH_TRY(os::set_inheritable(scratch->get()));
    arguments.insert(arguments.end(),
                     {"--scratch", fmt::format("/proc/self/fd/{}", scratch->get())});
  }
  arguments.push_back(container.record.root);
  return disk(paths, arguments);
}

}  // namespace bulkhead::cli
