#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"

// Reading tar: v7, ustar, pax and GNU, with sparse files and extended attributes. libarchive knows
// the format; this module decides what a layer may contain.

namespace bulkhead::archive {

enum class EntryType : std::uint8_t {
  File,
  Directory,
  Symlink,
  HardLink,
  CharacterDevice,
  BlockDevice,
  Fifo,
  Socket,
};

struct EntryTime {
  std::int64_t seconds = 0;  ///< since the epoch; may be negative
  std::uint32_t nanoseconds = 0;

  auto operator<=>(const EntryTime&) const = default;
};

/// An extended attribute. Both views live as long as the entry's.
struct EntryXattr {
  std::string_view name;  ///< whole: "security.capability"
  Bytes value;
};

/// One member of an archive. Its strings are valid until the next call on the reader.
struct TarEntry {
  /// Cleaned: relative, no "." or "..", no empty components, no trailing slash. The root directory
  /// itself is "".
  std::string_view path;
  EntryType type = EntryType::File;
  std::string_view link;  ///< symlink: the target as it stands; hard link: cleaned like path
  std::uint16_t permissions = 0;  ///< 07777
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;  ///< of a file, holes included
  EntryTime modified;
  std::optional<EntryTime> accessed;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::vector<EntryXattr> xattrs;
};

/// A piece of a file's content. Between two pieces, and after the last, are holes.
struct DataPiece {
  std::uint64_t offset;
  Bytes data;
};

struct TarLimits {
  std::uint64_t entries = 4'000'000;
  std::uint64_t file_bytes = std::uint64_t{256} << 30U;  ///< apparent size of one file
  std::uint32_t path_bytes = 4095;
  std::uint32_t name_bytes = 255;
  std::uint32_t xattr_bytes = 64U << 10U;  ///< of names and values of one entry
};

/// Reads the members of a tar stream in order.
class TarReader {
 public:
  /// `source` is borrowed; decompressed bytes.
  static Result<std::unique_ptr<TarReader>> create(Reader& source, const TarLimits& limits = {});

  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;
  ~TarReader();

  /// The next member, or nullptr after the last. What is left of the content of the one before is
  /// skipped. An empty stream has no members. The entry is valid until the next call.
  /// Errors: Corrupt for what is not tar or is truncated; Invalid, naming the entry, for a name
  /// that leaves the root, is too long or holds a NUL, an owner outside 0 to 2^32-2, a negative
  /// size; Unsupported for other member types; ResourceExhausted beyond a limit.
  Result<const TarEntry*> next();

  /// The next piece of the present file's content, or nothing after the last. Offsets ascend and
  /// stay below the file's size. Errors: Corrupt.
  Result<std::optional<DataPiece>> next_data();

  /// Reads the source to its end, past the end-of-archive mark, so that hashers below see all of
  /// it.
  Result<> drain();

 private:
  struct State;
  explicit TarReader(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// A name of an archive made relative to its root, lexically, as docker does it: "./a//b/" and
/// "/a/b" are "a/b", "a/../b" is "b", "." is "". Into `cleaned`, which is overwritten.
/// Errors: Invalid for a name that leaves the root ("../x", "a/../../x", "./../x"; "/../x" does
/// not: the root's parent is the root), is empty, holds a NUL, or is too long.
Result<> clean_entry_path(std::string_view name, const TarLimits& limits, std::string& cleaned);

}  // namespace bulkhead::archive
