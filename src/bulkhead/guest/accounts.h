#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"

// Users and groups of a container: its own /etc/passwd and /etc/group, which a stranger wrote. They
// are opened inside the container's root, read only when they are regular files and no larger than
// kMaxAccountFile, and a line that is not well formed is as good as absent.

namespace bulkhead::guest {

inline constexpr std::size_t kMaxAccountFile = 4U << 20U;

/// As docker has it: ids beyond 2^31-1 in text are refused, so that none wraps around to 0.
inline constexpr std::uint32_t kMaxNamedId = 0x7fffffff;

struct Identity {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;  ///< supplementary; begins with `group` when made from text
  std::string home;           ///< "/" when no entry tells
};

/// An image's or a command line's user: "", "redis", "1000", "redis:audio", "1000:1000". A number
/// needs no entry; a name does. The first matching line counts, for a number too, and without a
/// group in the text the user's groups of /etc/group are supplementary, all as docker does it.
/// `root` is the root directory. Errors: NotFound for a name without an entry; Invalid for ids that
/// are negative, too big or not numbers where numbers must be, in the text or in the entry;
/// Io, Invalid, ResourceExhausted when a file that is needed cannot be read.
Result<Identity> resolve_identity(int root, std::string_view text);

/// For ids given as numbers. Errors: Invalid for 2^32-1, which means "no change" to the kernel.
Result<Identity> numeric_identity(int root, std::uint32_t user, std::uint32_t group,
                                  const std::vector<std::uint32_t>& additional_groups);

}  // namespace bulkhead::guest
