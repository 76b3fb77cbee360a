#include "bulkhead/ext4/reader.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_directory.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_journal.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/reader_map.h"
#include "bulkhead/ext4/reader_xattr.h"
#include "bulkhead/ext4/source.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::size_t kMaxPath = 4095;
constexpr std::uint32_t kMaxLinksFollowed = 40;
constexpr std::size_t kFastSymlinkBytes = 60;

using SuperblockBytes = std::array<std::byte, sizeof(Superblock)>;

/// Whether a symbolic link's target is in i_block. The kernel asks whether blocks are allocated; an
/// attribute block counts as one.
bool is_fast_symlink(const Layout& layout, const Inode& inode) {
  if ((inode.flags & (kInodeFlagExtents | kInodeFlagInlineData)) != 0) {
    return false;
  }
  // Values of attributes that have inodes are counted too, so the blocks say nothing.
  if ((layout.incompat & kIncompatXattrInode) != 0) {
    return inode.size < kFastSymlinkBytes;
  }
  const std::uint64_t for_xattrs = inode.xattr_block != 0 ? layout.block_size / 512 : 0;
  return inode.sectors <= for_xattrs && inode.size < kFastSymlinkBytes;
}

}  // namespace

// -- FileReader --

FileReader::FileReader(BlockReader& blocks, const Layout& layout, const Inode& inode)
    : blocks_(blocks),
      block_size_(layout.block_size),
      size_(inode.size),
      is_inline_((inode.flags & kInodeFlagInlineData) != 0),
      map_(blocks, layout, inode) {}

Result<FileReader> FileReader::open(BlockReader& blocks, const Layout& layout, const Inode& inode) {
  if (!inode.is_file()) {
    return fail(ErrorCode::Invalid, "inode {}: not a regular file", inode.number);
  }
  if ((inode.flags & kInodeFlagEncrypted) != 0) {
    return fail(ErrorCode::Unsupported, "inode {}: encrypted", inode.number);
  }
  FileReader reader(blocks, layout, inode);
  if (reader.is_inline_) {
    InlineContent content = BH_TRY(read_inline(layout, inode));
    reader.inline_ = std::move(content.head);
    reader.inline_.insert(reader.inline_.end(), content.rest.begin(), content.rest.end());
  }
  return reader;
}

Result<FilePart> FileReader::part(std::uint64_t offset) {
  if (is_inline_) {
    return FilePart{.length = size_ - offset};
  }
  const std::uint64_t end = (size_ + block_size_ - 1) / block_size_;
  const Run run = BH_TRY(map_.find(offset / block_size_, end));
  const std::uint64_t run_end = std::min(size_, (run.logical + run.count) * block_size_);
  return FilePart{.length = run_end - offset, .is_hole = run.kind != RunKind::Data};
}

Result<std::size_t> FileReader::read(std::uint64_t offset, MutableBytes buffer) {
  if (offset >= size_) {
    return std::size_t{0};
  }
  buffer = buffer.first(
      static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size_ - offset)));
  if (buffer.empty()) {
    return std::size_t{0};
  }
  if (is_inline_) {
    std::memcpy(buffer.data(), inline_.data() + offset, buffer.size());
    return buffer.size();
  }
  const std::uint64_t end = (offset + buffer.size() + block_size_ - 1) / block_size_;
  for (std::size_t done = 0; done < buffer.size();) {
    const std::uint64_t at = offset + done;
    const Run run = BH_TRY(map_.find(at / block_size_, end));
    const std::uint64_t within = at % block_size_;
    const auto size = static_cast<std::size_t>(
        std::min<std::uint64_t>(buffer.size() - done, run.count * block_size_ - within));
    const MutableBytes piece = buffer.subspan(done, size);
    if (run.kind == RunKind::Data) {
      BH_TRY(blocks_.read(run.physical, within, piece));
    } else {
      std::ranges::fill(piece, std::byte{0});
    }
    done += size;
  }
  return buffer.size();
}

// -- Image --

Image::Image(std::unique_ptr<Layout> layout, std::unique_ptr<BlockReader> blocks)
    : layout_(std::move(layout)), blocks_(std::move(blocks)) {}

Result<Image> Image::open(Source& source, const ReadOptions& options) {
  SuperblockBytes super{};
  if (source.size() < kSuperblockOffset + super.size()) {
    return fail(ErrorCode::Invalid, "no ext4 file system: {} bytes", source.size());
  }
  BH_TRY(source.read(kSuperblockOffset, super));
  const Layout layout = BH_TRY(parse_superblock(super, source.size()));
  Image image(
      std::make_unique<Layout>(layout),
      std::make_unique<BlockReader>(source, layout.block_size, layout.blocks, options.cache_bytes));
  if ((layout.incompat & kIncompatRecover) != 0) {
    BH_TRY(image.replay(source));
  }
  return image;
}

Result<> Image::replay(Source& source) {
  Replay replay = BH_TRY(read_journal(*blocks_, *layout_));
  replayed_ = replay.transactions;
  blocks_->set_journal_copies(std::move(replay.copies));
  // The superblock may be among the copies.
  SuperblockBytes super{};
  BH_TRY(blocks_->read(kSuperblockOffset / layout_->block_size,
                       kSuperblockOffset % layout_->block_size, super));
  const Layout layout = BH_TRY(parse_superblock(super, source.size()));
  if (layout.block_size != layout_->block_size || layout.blocks != layout_->blocks) {
    return fail(ErrorCode::Unsupported, "the journal holds a change of the file system's size");
  }
  *layout_ = layout;
  return {};
}

Result<Inode> Image::inode(std::uint32_t number) { return read_inode(*blocks_, *layout_, number); }

Result<DirectoryReader> Image::open_directory(const Inode& directory) {
  return DirectoryReader::open(*blocks_, *layout_, directory);
}

Result<FileReader> Image::open_file(const Inode& file) {
  return FileReader::open(*blocks_, *layout_, file);
}

Result<std::vector<XattrValue>> Image::xattrs(const Inode& inode) {
  return read_xattrs(*blocks_, *layout_, inode);
}

Result<std::vector<NamedEntry>> Image::list(const Inode& directory) {
  DirectoryReader reader = BH_TRY(open_directory(directory));
  std::vector<NamedEntry> entries;
  NameView view;
  while (BH_TRY(reader.next(view))) {
    entries.push_back({.name = std::string(view.name), .inode = view.inode});
  }
  std::ranges::sort(entries, {}, &NamedEntry::name);
  const auto twin = std::ranges::adjacent_find(entries, {}, &NamedEntry::name);
  if (twin != entries.end()) {
    return fail(ErrorCode::Corrupt, "inode {}: two entries {}", directory.number,
                quote(twin->name));
  }
  return entries;
}

Result<std::string> Image::read_link(const Inode& link) {
  if (!link.is_symlink()) {
    return fail(ErrorCode::Invalid, "inode {}: not a symbolic link", link.number);
  }
  if ((link.flags & kInodeFlagEncrypted) != 0) {
    return fail(ErrorCode::Unsupported, "inode {}: encrypted", link.number);
  }
  const auto corrupt = [&](const char* what) {
    return fail(ErrorCode::Corrupt, "inode {}: {}", link.number, what);
  };
  if (link.size == 0 || link.size > kMaxPath) {
    return corrupt("length of the symbolic link");
  }
  std::string target(static_cast<std::size_t>(link.size), '\0');
  const MutableBytes buffer = std::as_writable_bytes(std::span(target));
  if (is_fast_symlink(*layout_, link)) {
    std::memcpy(buffer.data(), link.content.data(), buffer.size());
  } else {
    Inode as_file = link;
    as_file.mode = kModeFile;
    FileReader reader = BH_TRY(open_file(as_file));
    std::ignore = BH_TRY(reader.read(0, buffer));
  }
  if (target.find('\0') != std::string::npos) {
    return corrupt("NUL in the symbolic link");
  }
  return target;
}

Result<std::uint32_t> Image::look_up(const Inode& directory, std::string_view name) {
  DirectoryReader reader = BH_TRY(open_directory(directory));
  NameView view;
  while (BH_TRY(reader.next(view))) {
    if (view.name == name) {
      return view.inode;
    }
  }
  return fail(ErrorCode::NotFound, "{}: not found", quote(name));
}

Result<Inode> Image::resolve(std::string_view path, LastLink last) {
  const auto invalid = [&](const char* what) {
    return fail(ErrorCode::Invalid, "{}: {}", quote(path), what);
  };
  if (path.size() > kMaxPath) {
    return invalid("path is too long");
  }
  std::vector<Inode> walk;  // the directories from the root to here; ".." goes back
  walk.push_back(BH_TRY(inode(kRootInode)));
  std::string rest(path);
  std::uint32_t followed = 0;
  for (std::size_t at = 0; at < rest.size();) {
    const std::size_t end = std::min(rest.find('/', at), rest.size());
    const std::string name = rest.substr(at, end - at);
    const bool is_last = rest.find_first_not_of('/', end) == std::string::npos;
    at = std::min(end + 1, rest.size());
    if (name.empty()) {
      continue;
    }
    if (!walk.back().is_directory()) {
      return invalid("a component is not a directory");
    }
    if (name == ".") {
      continue;
    }
    if (name == "..") {
      if (walk.size() > 1) {
        walk.pop_back();
      }
      continue;
    }
    auto found = look_up(walk.back(), name);
    if (!found) {
      return std::move(found).error().about(path);
    }
    Inode next = BH_TRY(inode(*found));
    if (!next.is_symlink() || (is_last && last == LastLink::Keep)) {
      walk.push_back(std::move(next));
      continue;
    }
    if (++followed > kMaxLinksFollowed) {
      return invalid("too many symbolic links");
    }
    const std::string target = BH_TRY(read_link(next));
    rest = target + "/" + rest.substr(at);
    at = 0;
    if (rest.size() > std::size_t{2} * kMaxPath) {
      return invalid("path is too long");
    }
    if (target.starts_with('/')) {
      walk.resize(1);
    }
  }
  return walk.back();
}

}  // namespace bulkhead::ext4
