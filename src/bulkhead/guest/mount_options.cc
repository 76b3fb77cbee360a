#include "bulkhead/guest/mount_options.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::guest {
namespace {

constexpr unsigned long kLazyTime = 1UL << 25U;  // MS_LAZYTIME, which this libc does not have

/// Bits that the option takes away and bits that it adds.
struct FlagOption {
  std::string_view name;
  unsigned long clears;
  unsigned long sets;
};

constexpr std::array kFlagOptions = {
    FlagOption{"defaults", 0, 0},
    FlagOption{"ro", 0, MS_RDONLY},
    FlagOption{"rw", MS_RDONLY, 0},
    FlagOption{"suid", MS_NOSUID, 0},
    FlagOption{"nosuid", 0, MS_NOSUID},
    FlagOption{"dev", MS_NODEV, 0},
    FlagOption{"nodev", 0, MS_NODEV},
    FlagOption{"exec", MS_NOEXEC, 0},
    FlagOption{"noexec", 0, MS_NOEXEC},
    FlagOption{"sync", 0, MS_SYNCHRONOUS},
    FlagOption{"async", MS_SYNCHRONOUS, 0},
    FlagOption{"dirsync", 0, MS_DIRSYNC},
    FlagOption{"remount", 0, MS_REMOUNT},
    FlagOption{"bind", 0, MS_BIND},
    FlagOption{"rbind", 0, MS_BIND | MS_REC},
    FlagOption{"atime", MS_NOATIME, 0},
    FlagOption{"noatime", 0, MS_NOATIME},
    FlagOption{"diratime", MS_NODIRATIME, 0},
    FlagOption{"nodiratime", 0, MS_NODIRATIME},
    FlagOption{"relatime", MS_NOATIME | MS_STRICTATIME, MS_RELATIME},
    FlagOption{"norelatime", MS_RELATIME, 0},
    FlagOption{"strictatime", MS_NOATIME | MS_RELATIME, MS_STRICTATIME},
    FlagOption{"nostrictatime", MS_STRICTATIME, 0},
    FlagOption{"mand", 0, MS_MANDLOCK},
    FlagOption{"nomand", MS_MANDLOCK, 0},
    FlagOption{"silent", 0, MS_SILENT},
    FlagOption{"loud", MS_SILENT, 0},
    FlagOption{"lazytime", 0, kLazyTime},
    FlagOption{"nolazytime", kLazyTime, 0},
};

struct PropagationOption {
  std::string_view name;
  unsigned long value;
};

constexpr std::array kPropagationOptions = {
    PropagationOption{"private", MS_PRIVATE},
    PropagationOption{"rprivate", MS_PRIVATE | MS_REC},
    PropagationOption{"shared", MS_SHARED},
    PropagationOption{"rshared", MS_SHARED | MS_REC},
    PropagationOption{"slave", MS_SLAVE},
    PropagationOption{"rslave", MS_SLAVE | MS_REC},
    PropagationOption{"unbindable", MS_UNBINDABLE},
    PropagationOption{"runbindable", MS_UNBINDABLE | MS_REC},
};

/// One page with its terminator.
constexpr std::size_t kMaxData = 4095;

}  // namespace

Result<MountOptions> parse_mount_options(const std::vector<std::string>& options) {
  MountOptions parsed;
  for (const std::string& option : options) {
    if (option.find_first_of(std::string_view("\0,", 2)) != std::string::npos) {
      return fail(ErrorCode::Invalid, "mount option {}: contains a comma or a NUL character",
                  quote(option));
    }
    const auto flag = std::ranges::find(kFlagOptions, option, &FlagOption::name);
    const auto propagation =
        std::ranges::find(kPropagationOptions, option, &PropagationOption::name);
    if (flag != kFlagOptions.end()) {
      parsed.flags = (parsed.flags & ~flag->clears) | flag->sets;
    } else if (propagation != kPropagationOptions.end()) {
      parsed.propagation = propagation->value;
    } else if (!option.empty()) {
      parsed.data += (parsed.data.empty() ? "" : ",") + option;
    }
  }
  if (parsed.data.size() > kMaxData) {
    return fail(ErrorCode::Invalid, "mount options: {} bytes, at most {}", parsed.data.size(),
                kMaxData);
  }
  return parsed;
}

}  // namespace bulkhead::guest
