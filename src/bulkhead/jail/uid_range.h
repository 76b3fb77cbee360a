#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"

namespace bulkhead::jail {

/// A range of host user and group ids that belong to one jail and to nobody else: a process with
/// one of them owns no file of the host and can signal no other process.
/// Ranges lie in [0x60000000, 0x70000000), above what distributions, systemd and subuid files hand
/// out. Leased like an address: by a locked file in the run directory, so that a reboot or the end
/// of the owner, however it ends, frees it.
class UidRange {
 public:
  static constexpr std::uint32_t kFirst = 0x60000000;
  static constexpr std::uint32_t kSize = 65536;
  static constexpr std::uint32_t kCount = 4096;

  /// Takes a free one; it is free again when this object or the process is gone. Files are kept in
  /// `run_directory`/uids. Errors: ResourceExhausted when all are taken.
  static Result<UidRange> lease(const std::string& run_directory);

  /// The first id, the same number for users and groups.
  [[nodiscard]] uid_t base() const { return kFirst + index_ * kSize; }

 private:
  UidRange(std::uint32_t index, os::FileLock lock) : index_(index), lock_(std::move(lock)) {}

  std::uint32_t index_;
  os::FileLock lock_;
};

}  // namespace bulkhead::jail
