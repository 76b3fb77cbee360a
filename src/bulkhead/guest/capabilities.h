#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::guest {

/// Bits of the named capabilities ("CAP_CHOWN"). A name that is not known is left out: what cannot
/// be named is not granted.
std::uint64_t capability_mask(const std::vector<std::string>& names);

}  // namespace bulkhead::guest
