#include "bulkhead/runtime/placeholder_disk.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {

Result<vmm::DiskDevice> make_placeholder_disk(std::string_view serial, std::uint64_t size_bytes,
                                              vmm::Access access, PlaceholderContent content) {
  os::UniqueFd file = BH_TRY(os::make_memfd(std::string(serial)));
  if (content == PlaceholderContent::FileSystem) {
    constexpr std::uint64_t kFileSystemBytes = 64U << 20U;
    std::ignore = BH_TRY(
        ext4::format_empty(file.get(), {.size_bytes = std::min(size_bytes, kFileSystemBytes)}));
  }
  BH_TRY(os::set_file_size(file.get(), size_bytes));
  if (access == vmm::Access::ReadOnly) {
    file = BH_TRY(os::open_file(fmt::format("/proc/self/fd/{}", file.get()), O_RDONLY));
  }
  return vmm::DiskDevice{.serial = std::string(serial), .file = std::move(file), .access = access};
}

}  // namespace bulkhead::runtime
