#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

enum class VerifyMode : std::uint8_t {
  Report,
  /// Damaged blobs are removed, so that the next pull or load brings them again; damaged roots are
  /// replaced by what their layers give.
  Repair,
};

struct VerifyReport {
  std::uint64_t blobs = 0;
  std::uint64_t roots = 0;
  std::uint64_t bytes = 0;  ///< that were read
  /// What is wrong, for people to read. Empty: all is well.
  std::vector<std::string> damage;
};

/// Hashes every blob, looks for what the database names and the disk lacks, and makes each root
/// again from its layers, beside the one that is there, to compare them: the formatter gives the
/// same bytes for the same layers. Takes as much disk as the largest root meanwhile.
/// Errors: NoSpace, Io; damage is no error.
Result<VerifyReport> verify(store::Store& store, VerifyMode mode);

}  // namespace bulkhead::images
