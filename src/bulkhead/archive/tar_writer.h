#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

// Writing tar: ustar, with a pax header where ustar has no room. Names are bytes, as file systems
// have them; libarchive would pass them through the locale.

namespace bulkhead::archive {

/// A part of a sparse file that is data.
struct DataRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

class TarWriter {
 public:
  /// `to` is borrowed.
  explicit TarWriter(Writer& to) : to_(to) {}

  /// Begins a member. The content of a file follows by write(): all of it, or, for a sparse file,
  /// that of `data` (ascending, apart, inside of the file) in order.
  /// Errors: FailedPrecondition when the content of the one before is not complete; Unsupported for
  /// sockets, which tar does not have; Io.
  Result<> add(const TarEntry& entry);
  Result<> add_sparse(const TarEntry& entry, std::span<const DataRange> data);

  Result<> write(Bytes content);

  /// Writes the end-of-archive mark. Errors: as add().
  Result<> finish();

 private:
  Result<> begin(const TarEntry& entry, std::string extra_records, std::uint64_t stored_size);
  Result<> put(Bytes bytes);
  Result<> pad();
  Result<> flush();

  Writer& to_;
  std::vector<std::byte> pending_;
  std::uint64_t written_ = 0;
  std::uint64_t content_left_ = 0;
};

}  // namespace bulkhead::archive
