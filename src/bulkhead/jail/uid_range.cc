#include "bulkhead/jail/uid_range.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"

namespace bulkhead::jail {

Result<UidRange> UidRange::lease(const std::string& run_directory) {
  const std::string directory = run_directory + "/uids";
  BH_TRY(os::make_directories(directory, 0700));
  for (std::uint32_t index = 0; index < kCount; ++index) {
    std::optional<os::FileLock> lock =
        BH_TRY(os::FileLock::try_acquire(fmt::format("{}/{}", directory, index))
                   .context("lease a user id range"));
    if (lock) {
      return UidRange(index, *std::move(lock));
    }
  }
  return fail(ErrorCode::ResourceExhausted, "lease a user id range: all {} are taken", kCount);
}

}  // namespace bulkhead::jail
