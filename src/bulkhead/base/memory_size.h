#pragma once

#include <cstdint>
#include <string>

namespace bulkhead {

/// "61.3 MiB" in powers of 1024, as docker prints memory. Of disks and downloads: format_size().
std::string format_memory_size(std::uint64_t bytes);

}  // namespace bulkhead
