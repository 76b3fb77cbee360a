#pragma once

#include <cstdint>
#include <string_view>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {

/// Writes tars of plain files and directories, such as image archives: ustar, with a pax header
/// before what ustar cannot say. The same content gives the same bytes: owner root, time 0.
class TarWriter {
 public:
  /// Borrows the writer.
  explicit TarWriter(Writer& out) : out_(out) {}

  Result<> directory(std::string_view name);

  Result<> file(std::string_view name, Bytes content);

  /// A file of `size` bytes, which `content` must give. Errors: Corrupt when it gives fewer or
  /// more: the archive is then not usable.
  Result<> file(std::string_view name, std::uint64_t size, Reader& content);

  /// The end-of-archive mark.
  Result<> finish();

 private:
  Result<> header(std::string_view name, char type, std::uint64_t size);
  Result<> pad(std::uint64_t size);

  Writer& out_;
};

}  // namespace bulkhead::archive
