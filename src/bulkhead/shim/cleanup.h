#pragma once

#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/shim/arguments.h"

namespace bulkhead::shim {

/// In the bundle: locked by the shim for as long as it lives, and its process id.
inline constexpr const char* kLockFile = "shim.lock";
inline constexpr const char* kPidFile = "shim.pid";

/// containerd's "delete": makes sure that shim and virtual machine are gone and gives back what
/// they held. May be run again, and without a bundle. Returns the serialised DeleteResponse to
/// print.
Result<std::string> clean_up(const Arguments& arguments);

}  // namespace bulkhead::shim
