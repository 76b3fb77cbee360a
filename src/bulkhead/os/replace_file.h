#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead::os {

/// Whole or not at all for every other process, but not across a power cut: for what a reboot makes
/// worthless anyway. Saves the milliseconds that write_file_atomically() waits for the disk.
Result<> replace_file(const std::string& path, std::string_view content, mode_t mode = 0644);

}  // namespace bulkhead::os
