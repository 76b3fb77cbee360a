#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {

/// A file of an image archive, kept by digest in the session.
struct ArchiveFile {
  Digest digest;
  std::uint64_t size = 0;
};

/// The files of an image archive that was read once from beginning to end, whatever the order of
/// its members. Their names are keys of a map here and nothing else.
class ArchiveFiles {
 public:
  /// Errors: Corrupt for what is no tar; Invalid for members that no image archive has;
  /// ResourceExhausted for too many of them; NoSpace.
  static Result<ArchiveFiles> read(archive::Reader& tar_bytes, store::Ingest& ingest);

  [[nodiscard]] bool has(std::string_view name) const { return files_.contains(std::string(name)); }

  /// Errors: NotFound; Invalid for a link.
  [[nodiscard]] Result<ArchiveFile> file(std::string_view name) const;

  /// The same, but a symbolic link to a file of the archive will do.
  [[nodiscard]] Result<ArchiveFile> file_or_link(std::string_view name) const;

 private:
  std::map<std::string, ArchiveFile> files_;
  std::map<std::string, std::string> links_;  ///< to what, cleaned
};

}  // namespace bulkhead::images
