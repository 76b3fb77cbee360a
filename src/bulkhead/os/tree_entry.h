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

struct FileTime {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;

  bool operator==(const FileTime&) const = default;
};

/// What stat says of an entry itself.
struct EntryInfo {
  dev_t device = 0;  ///< that it lies on
  ino_t inode = 0;
  mode_t mode = 0;
  nlink_t links = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t special = 0;  ///< that it is, when it is a device node
  std::uint64_t size = 0;
  FileTime modified;

  [[nodiscard]] mode_t type() const;
};

/// An entry of any kind, for the functions below. Errors: NotFound when it is gone.
Result<UniqueFd> open_entry(int directory, const std::string& name);

Result<EntryInfo> entry_info(int entry);

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
