#pragma once

#include <string>

#include "bulkhead/base/log.h"

namespace bulkhead::shim {

/// Sends this process's log to the FIFO `bundle`/log when containerd made one and reads it, else to
/// the file `bundle`/shim.log, which is made with the first line.
void configure_log(const std::string& bundle, log::Level least);

}  // namespace bulkhead::shim
