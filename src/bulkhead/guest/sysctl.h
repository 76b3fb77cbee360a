#pragma once

#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead::guest {

/// "net/ipv4/ip_forward" for "net.ipv4.ip_forward". As sysctl(8) has it, where the first separator
/// is a slash the slashes separate and dots are literal; otherwise a slash stands for a dot in a
/// name ("net.ipv4.conf.eth0/1.forwarding"). Errors: Invalid for anything that would be no plain
/// path below /proc/sys.
Result<std::string> sysctl_path(std::string_view name);

}  // namespace bulkhead::guest
