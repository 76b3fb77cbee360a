#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/os/copy_range.h"

// Writing ext4 images in one pass: docs/formats/ext4.md.
//
// File contents go to the image as they arrive; names, inodes and extents stay in memory (about
// 200 bytes for each file) until finish(), which writes directories, inode tables, bitmaps, group
// descriptors and, last, the superblock. An image without finish() is therefore not mountable.

namespace bulkhead::ext4 {

struct Extent;

using Uuid = std::array<std::byte, 16>;

inline constexpr std::uint32_t kDefaultBlockSize = 4096;

/// What of a file's content a kernel puts into the journal, unless it is told otherwise at the
/// mount.
enum class JournalMode : std::uint8_t {
  Ordered,    ///< nothing; content is on the disk before the metadata that point to it
  Data,       ///< all of it
  Writeback,  ///< nothing, in no order
};

struct FormatOptions {
  /// The file system's size. 0: as large as its content needs, no free space kept, no journal:
  /// a read-only image.
  std::uint64_t size_bytes = 0;
  /// With size_bytes 0: NoSpace when the image would become larger, and in any case beyond 256 GiB
  /// with blocks of 1 KiB, beyond 4 TiB with 2 KiB.
  std::uint64_t limit_bytes = std::uint64_t{1} << 40U;
  /// 1024, 2048 or 4096. Small blocks waste less behind small files; all else is slower, and
  /// extended attributes and targets of symbolic links must fit one.
  std::uint32_t block_size = kDefaultBlockSize;
  std::string label;  ///< at most 16 bytes
  /// Absent: made from the content, so that the same input gives the same bytes.
  std::optional<Uuid> uuid;
  /// Only with size_bytes; 0: none, otherwise 1024 to 10,240,000 blocks.
  std::uint64_t journal_bytes = 0;
  /// Only with a journal. Absent: the superblock does not say, and the kernel takes Ordered.
  std::optional<JournalMode> journal_mode;
  /// Only with size_bytes: one inode for so many bytes.
  std::uint32_t bytes_per_inode = 16384;
  /// Only with size_bytes: the kernel can enlarge it while it is mounted. Copies of superblock and
  /// descriptors are written then, because enlarging keeps them (for 1 TiB 10 MiB). resize2fs
  /// enlarges every file system that is not mounted.
  bool can_grow_mounted = false;
  /// mke2fs makes one; a container should not see it, and e2fsck does not ask for it.
  bool lost_and_found = false;
  /// Only with size_bytes 0: files that are replaced or removed leave their content where it is, in
  /// blocks that are free but not used again, so that what content() said stays true.
  bool keep_replaced = false;
  /// More inodes than this is ResourceExhausted.
  std::uint32_t max_inodes = 4'000'000;
};

struct Timestamp {
  std::int64_t seconds = 0;  ///< clamped to ext4's range, 1901 to 2446
  std::uint32_t nanoseconds = 0;
};

struct Attributes {
  std::uint16_t permissions = 0755;  ///< 07777
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  Timestamp modified;
  std::optional<Timestamp> accessed;  ///< absent: modified
};

/// What shall become of an inode's attributes; absent: it stays.
struct AttributeChange {
  std::optional<std::uint16_t> permissions;  ///< 07777
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<Timestamp> modified;
  std::optional<Timestamp> accessed;
};

/// An extended attribute by its whole name ("security.capability"). POSIX ACLs come in the form of
/// the system call and are converted.
struct Xattr {
  std::string_view name;
  Bytes value;
};

enum class NodeType : std::uint8_t { CharacterDevice, BlockDevice, Fifo, Socket };

struct DeviceNumber {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
};

struct FormatResult {
  std::uint64_t size_bytes = 0;
  std::uint64_t used_bytes = 0;  ///< blocks in use, metadata included
  std::uint32_t inodes = 0;      ///< in use
  Uuid uuid{};
};

/// Builds one image. One thread at a time.
///
/// Paths are relative to the image's root ("usr/bin/env"; "" is the root; leading and doubled
/// slashes are dropped, ".." stays in the root). Symbolic links on the way to the last component
/// are followed inside the image, at most 40; missing parents are made (root, 0755). The last
/// component is never followed. A directory over a directory keeps its children and takes the new
/// attributes; anything else over anything replaces it, whole trees included. Blocks of what was
/// replaced are free again, but see FormatOptions::keep_replaced.
///
/// Errors of all of these: Invalid, naming the path, for what a file system could not hold (parent
/// not a directory, too many symbolic links, name longer than 255 bytes, more than 2048 levels);
/// NoSpace when the image is full; ResourceExhausted for inodes, links of one file (65000) and
/// extended attributes that do not fit (about a block for one inode); Io.
class Formatter {
 public:
  /// `device` is borrowed. Errors: Invalid for options that make no file system.
  static Result<Formatter> create(Device& device, const FormatOptions& options);

  /// On a file, borrowed: empty, or all zeros.
  static Result<Formatter> create(int fd, const FormatOptions& options);

  Formatter(Formatter&&) noexcept;
  Formatter& operator=(Formatter&&) noexcept;
  Formatter(const Formatter&) = delete;
  Formatter& operator=(const Formatter&) = delete;
  ~Formatter();

  /// What is made from here on belongs to a new layer: whiteouts leave it alone.
  void begin_layer();

  Result<> make_directory(std::string_view path, const Attributes& attributes,
                          std::span<const Xattr> xattrs = {});

  /// Makes a file and opens it for append(), until end_file() or the next call of another kind.
  Result<> begin_file(std::string_view path, const Attributes& attributes,
                      std::span<const Xattr> xattrs = {});
  Result<> append(Bytes data);
  /// `length` zeros that take no space. Blocks of zeros in append() take none either.
  Result<> append_hole(std::uint64_t length);
  /// Blocks of another file, which must stay open until flush(). Less than whole blocks only at the
  /// end of the file; behind it the last block of `from` holds zeros. Errors: FailedPrecondition
  /// too after an append() that did not end a block.
  Result<> append_copy(const os::FileRange& from);
  Result<> end_file();

  /// Where the content of the file that was ended last lies, until the next call of any kind.
  [[nodiscard]] std::span<const Extent> content() const;

  /// Everything that was appended is on the device.
  Result<> flush();

  /// Errors: Invalid too for an empty target or one that does not fit a block (4095 bytes).
  Result<> make_symlink(std::string_view path, std::string_view target,
                        const Attributes& attributes, std::span<const Xattr> xattrs = {});

  /// Links `path` to what `target` names now, in whatever layer that was made (a symbolic link
  /// itself, not what it points at). A link of a file to itself changes nothing.
  /// Errors: Invalid too for an absent target or a directory.
  Result<> make_hard_link(std::string_view path, std::string_view target);

  Result<> make_node(std::string_view path, NodeType type, DeviceNumber number,
                     const Attributes& attributes, std::span<const Xattr> xattrs = {});

  /// chmod, chown and utimes, of a symbolic link itself too. Errors: NotFound.
  Result<> change_attributes(std::string_view path, const AttributeChange& change);

  /// Sets one extended attribute, or replaces it. Errors: NotFound; those of attributes.
  Result<> set_xattr(std::string_view path, const Xattr& xattr);

  /// Errors: NotFound for an absent file or attribute.
  Result<> remove_xattr(std::string_view path, std::string_view name);

  /// By the rules of rename(2): over a file comes no directory, over a directory only another and
  /// only if it is empty; two names of one file stay both. Unlike the makers it makes no parents.
  /// Errors, and the tree is as before then: NotFound; Invalid for the root, a directory into
  /// itself, or what does not go over what is there.
  Result<> rename(std::string_view from, std::string_view to);

  /// Removes a file or tree. An absent one is fine.
  Result<> remove(std::string_view path);

  /// Whiteout: removes `path` as far as lower layers made it; what this layer made stays.
  Result<> white_out(std::string_view path);

  /// Opaque directory: the same for everything in `path`.
  Result<> white_out_children(std::string_view path);

  [[nodiscard]] bool exists(std::string_view path) const;

  /// Writes everything that is not written yet. With an error the image is not usable.
  Result<FormatResult> finish() &&;

 private:
  struct State;
  explicit Formatter(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// The writable disk of a container: an empty file system of `size_bytes` with a 16 MiB journal, in
/// a sparse file of which a few blocks are written.
Result<FormatResult> format_scratch(int fd, std::uint64_t size_bytes,
                                    const std::optional<Uuid>& uuid = std::nullopt);

/// An empty file system.
Result<FormatResult> format_empty(int fd, const FormatOptions& options);

}  // namespace bulkhead::ext4
