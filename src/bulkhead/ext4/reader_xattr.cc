#include "bulkhead/ext4/reader_xattr.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/reader_map.h"

namespace bulkhead::ext4 {
namespace {

constexpr std::uint8_t kAccessAcl = 2;
constexpr std::uint8_t kDefaultAcl = 3;
constexpr std::uint8_t kSystem = 7;
constexpr std::string_view kInlineName = "data";
constexpr std::size_t kMaxValue = 64U << 10U;  // the system call's limit
constexpr std::size_t kMaxValuesInInodes = 1U << 20U;

/// Nothing for a namespace that has no name outside of the kernel.
std::optional<std::string_view> prefix_of(std::uint8_t index) {
  switch (index) {
    case 1:
      return "user.";
    case kAccessAcl:
      return "system.posix_acl_access";
    case kDefaultAcl:
      return "system.posix_acl_default";
    case 4:
      return "trusted.";
    case 6:
      return "security.";
    case kSystem:
      return "system.";
    case 8:
      return "system.richacl";
    default:
      return std::nullopt;
  }
}

/// An attribute as it stands; its views are into the area.
struct StoredXattr {
  std::uint8_t index = 0;
  std::string_view name;
  std::uint32_t value_inode = 0;
  std::uint32_t value_size = 0;
  Bytes value;  ///< empty with a value_inode
};

/// Where an area was read from, for messages.
struct Place {
  std::uint32_t inode = 0;
  std::uint64_t block = 0;  ///< 0: the inode

  [[nodiscard]] Error corrupt(std::string_view what) const {
    return corrupt_at(inode, block, what);
  }
};

/// Entries from `entries_at` on; the offsets of values count from `values_at`.
Result<std::vector<StoredXattr>> parse_area(Bytes area, std::size_t entries_at,
                                            std::size_t values_at, const Place& place) {
  std::vector<StoredXattr> all;
  std::size_t at = entries_at;
  std::size_t values_size = 0;
  for (;;) {
    le32 word;
    if (area.size() - at < sizeof word) {
      return place.corrupt("extended attributes without an end");
    }
    std::memcpy(&word, area.data() + at, sizeof word);
    if (word == 0) {
      return all;
    }
    XattrEntryHead head;
    if (area.size() - at < sizeof head) {
      return place.corrupt("extended attribute beyond the end");
    }
    std::memcpy(&head, area.data() + at, sizeof head);
    const std::size_t entry_size = (sizeof head + head.name_length + 3) / 4 * 4;
    if (area.size() - at < entry_size) {
      return place.corrupt("extended attribute beyond the end");
    }
    StoredXattr xattr{.index = head.name_index,
                      .name = as_text(area.subspan(at + sizeof head, head.name_length)),
                      .value_inode = head.value_inode,
                      .value_size = head.value_size};
    if (xattr.name.find('\0') != std::string_view::npos) {
      return place.corrupt("name of an extended attribute");
    }
    at += entry_size;
    if (xattr.value_inode == 0 && xattr.value_size > 0) {
      const std::size_t room = area.size() - values_at;
      // Values that overlap would come to more than there is.
      values_size += std::min<std::size_t>(xattr.value_size, area.size() + 1);
      if (head.value_offset > room || xattr.value_size > room - head.value_offset ||
          values_size > area.size()) {
        return place.corrupt("value of an extended attribute beyond the end");
      }
      xattr.value = area.subspan(values_at + head.value_offset, xattr.value_size);
    }
    all.push_back(xattr);
  }
}

Result<std::vector<StoredXattr>> parse_inode_area(const Inode& inode) {
  le32 magic;
  const Bytes area = inode.xattrs;
  if (area.size() < sizeof magic) {
    return std::vector<StoredXattr>();
  }
  std::memcpy(&magic, area.data(), sizeof magic);
  if (magic != kXattrMagic) {
    return std::vector<StoredXattr>();
  }
  return parse_area(area, sizeof magic, sizeof magic, {.inode = inode.number});
}

Result<> check_block(Bytes content, const Layout& layout, const Place& place) {
  XattrBlockHeader header;
  std::memcpy(&header, content.data(), sizeof header);
  if (header.magic != kXattrMagic || header.blocks != 1) {
    return place.corrupt("no block of extended attributes");
  }
  if (layout.has_checksums()) {
    const le64 number = place.block;
    const std::uint32_t stored = header.checksum;
    header.checksum = 0U;
    std::uint32_t sum = crc32c(layout.seed, object_bytes(number));
    sum = crc32c(sum, object_bytes(std::as_const(header)));
    sum = crc32c(sum, content.subspan(sizeof header));
    if (sum != stored) {
      return place.corrupt("wrong checksum of the extended attributes");
    }
  }
  return {};
}

/// A value that has an inode of its own.
Result<std::vector<std::byte>> read_value_inode(BlockReader& blocks, const Layout& layout,
                                                const StoredXattr& xattr, const Place& place) {
  if ((layout.incompat & kIncompatXattrInode) == 0) {
    return place.corrupt("value of an extended attribute in an inode without the feature");
  }
  const Inode inode = BH_TRY(read_inode(blocks, layout, xattr.value_inode));
  if (!inode.is_file() || (inode.flags & kInodeFlagXattrValue) == 0 ||
      (inode.flags & kInodeFlagInlineData) != 0 || inode.size != xattr.value_size ||
      inode.size > kMaxValue) {
    return place.corrupt("inode of the value of an extended attribute");
  }
  std::vector<std::byte> value(static_cast<std::size_t>(inode.size));
  BlockMap map(blocks, layout, inode);
  const std::uint64_t end = (value.size() + layout.block_size - 1) / layout.block_size;
  for (std::uint64_t at = 0; at < end;) {
    const Run run = BH_TRY(map.find(at, end));
    if (run.kind != RunKind::Data) {
      return place.corrupt("hole in the value of an extended attribute");
    }
    const auto from = static_cast<std::size_t>(at * layout.block_size);
    const auto size =
        std::min(value.size() - from, static_cast<std::size_t>(run.count * layout.block_size));
    BH_TRY(blocks.read(run.physical, 0, std::span(value).subspan(from, size)));
    at += run.count;
  }
  return value;
}

/// ext4 leaves out ids where they mean nothing; a system call's ACL has one in every entry.
Result<std::vector<std::byte>> convert_acl(Bytes stored, const Place& place) {
  constexpr std::uint32_t kDiskVersion = 1;
  constexpr std::uint16_t kTagUser = 0x02;
  constexpr std::uint16_t kTagGroup = 0x08;
  le32 version;
  if (stored.size() < sizeof version) {
    return place.corrupt("size of an ACL");
  }
  std::memcpy(&version, stored.data(), sizeof version);
  if (version != kDiskVersion) {
    return place.corrupt("version of an ACL");
  }
  version = 2U;
  std::vector<std::byte> out(object_bytes(std::as_const(version)).begin(),
                             object_bytes(std::as_const(version)).end());
  for (stored = stored.subspan(sizeof version); !stored.empty();) {
    constexpr std::size_t kShort = 4;
    if (stored.size() < kShort) {
      return place.corrupt("size of an ACL");
    }
    std::array<std::byte, 8> entry;
    entry.fill(std::byte{0xff});  // no id
    le16 tag;
    std::memcpy(&tag, stored.data(), sizeof tag);
    const bool has_id = tag == kTagUser || tag == kTagGroup;
    const std::size_t size = has_id ? entry.size() : kShort;
    if (stored.size() < size) {
      return place.corrupt("size of an ACL");
    }
    std::memcpy(entry.data(), stored.data(), size);
    out.insert(out.end(), entry.begin(), entry.end());
    stored = stored.subspan(size);
  }
  return out;
}

class XattrReader {
 public:
  XattrReader(BlockReader& blocks, const Layout& layout) : blocks_(blocks), layout_(layout) {}

  Result<> add(const std::vector<StoredXattr>& all, const Place& place) {
    for (const StoredXattr& stored : all) {
      BH_TRY(add_one(stored, place));
    }
    return {};
  }

  std::vector<XattrValue> take() { return std::move(values_); }

 private:
  Result<> add_one(const StoredXattr& stored, const Place& place) {
    const auto prefix = prefix_of(stored.index);
    if (!prefix || (stored.index == kSystem && stored.name == kInlineName)) {
      return {};
    }
    XattrValue out{.name = std::string(*prefix).append(stored.name), .value = {}};
    if (stored.value_inode != 0) {
      out.value = BH_TRY(read_value_inode(blocks_, layout_, stored, place));
      in_inodes_ += out.value.size();
      if (in_inodes_ > kMaxValuesInInodes) {
        return place.corrupt("more extended attributes than an inode can have");
      }
    } else {
      out.value.assign(stored.value.begin(), stored.value.end());
    }
    if (stored.index == kAccessAcl || stored.index == kDefaultAcl) {
      out.value = BH_TRY(convert_acl(out.value, place));
    }
    values_.push_back(std::move(out));
    return {};
  }

  BlockReader& blocks_;
  const Layout& layout_;
  std::vector<XattrValue> values_;
  std::size_t in_inodes_ = 0;
};

}  // namespace

Result<std::vector<XattrValue>> read_xattrs(BlockReader& blocks, const Layout& layout,
                                            const Inode& inode) {
  XattrReader reader(blocks, layout);
  BH_TRY(reader.add(BH_TRY(parse_inode_area(inode)), {.inode = inode.number}));
  if (inode.xattr_block != 0) {
    const Place place{.inode = inode.number, .block = inode.xattr_block};
    if (inode.xattr_block >= layout.blocks) {
      return place.corrupt("extended attributes outside of the image");
    }
    const Block block = BH_TRY(blocks.block(inode.xattr_block));
    BH_TRY(check_block(*block, layout, place));
    BH_TRY(reader.add(BH_TRY(parse_area(*block, sizeof(XattrBlockHeader), 0, place)), place));
  }
  return reader.take();
}

Result<InlineContent> read_inline(const Layout& layout, const Inode& inode) {
  const Place place{.inode = inode.number};
  const std::size_t in_head = std::min<std::uint64_t>(inode.size, inode.content.size());
  InlineContent out;
  out.head.assign(inode.content.begin(),
                  inode.content.begin() + static_cast<std::ptrdiff_t>(in_head));
  if (inode.size > layout.inode_size) {
    return place.corrupt("inline data of more than an inode");
  }
  if (inode.size == in_head) {
    return out;
  }
  const std::vector<StoredXattr> all = BH_TRY(parse_inode_area(inode));
  const auto found = std::ranges::find_if(all, [](const StoredXattr& xattr) {
    return xattr.index == kSystem && xattr.name == kInlineName;
  });
  const std::size_t rest = static_cast<std::size_t>(inode.size) - in_head;
  if (found == all.end() || found->value.size() < rest) {
    return place.corrupt("inline data that is not there");
  }
  out.rest.assign(found->value.begin(), found->value.begin() + static_cast<std::ptrdiff_t>(rest));
  return out;
}

}  // namespace bulkhead::ext4
