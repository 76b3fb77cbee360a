#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

// Looking at the entries of a tree that others may be changing: each is opened once, without
// following or disturbing it (O_PATH), and everything else is asked of that descriptor.

namespace bulkhead::os {

/// An entry of any kind, for file_info() and the functions below. Errors: NotFound when it is gone.
Result<UniqueFd> open_entry(int directory, const std::string& name);

/// Opens for reading what the entry is: call it for regular files and directories only.
Result<UniqueFd> read_entry(int entry);

/// The target of an entry that is a symbolic link.
Result<std::string> link_target(int entry);

struct ExtendedAttribute {
  std::string name;
  std::vector<std::byte> value;
};

/// All that this process may see, in order of name; none where the file system has none.
Result<std::vector<ExtendedAttribute>> extended_attributes(int entry);

}  // namespace bulkhead::os
