#pragma once

#include <cstdint>
#include <string_view>

#include "bulkhead/base/result.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {

enum class PlaceholderContent : std::uint8_t {
  Nothing,
  FileSystem,  ///< an empty one, small
};

/// A disk of that size for a machine whose container is not known yet. It takes no memory but for
/// what is written to it.
Result<vmm::DiskDevice> make_placeholder_disk(std::string_view serial, std::uint64_t size_bytes,
                                              vmm::Access access, PlaceholderContent content);

}  // namespace bulkhead::runtime
