#include "bulkhead/os/replace_file.h"

#include <fcntl.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <tuple>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

Result<> replace_file(const std::string& path, std::string_view content, mode_t mode) {
  const std::string temporary = path + "." + BH_TRY(make_id()).substr(0, 8) + ".tmp";
  const auto write = [&]() -> Result<> {
    const UniqueFd fd = BH_TRY(open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, mode));
    BH_TRY(write_all(fd.get(), as_bytes(content)).context(temporary));
    return rename_path(temporary, path);
  };
  auto result = write();
  if (!result) {
    std::ignore = remove_file(temporary);
  }
  return result;
}

}  // namespace bulkhead::os
