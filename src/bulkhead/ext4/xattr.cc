#include "bulkhead/ext4/xattr.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
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
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/on_disk.h"

namespace bulkhead::ext4 {
namespace {

std::size_t padded(std::size_t size) { return (size + 3) / 4 * 4; }

}  // namespace

struct StoredXattr {
  std::uint8_t index = 0;
  std::string name;
  std::vector<std::byte> value;

  [[nodiscard]] std::size_t entry_size() const {
    return padded(sizeof(XattrEntryHead) + name.size());
  }

  [[nodiscard]] std::size_t size() const { return entry_size() + padded(value.size()); }

  // The order of entries in a block.
  auto operator<=>(const StoredXattr& other) const {
    return std::tuple(index, name.size(), std::string_view(name)) <=>
           std::tuple(other.index, other.name.size(), std::string_view(other.name));
  }

  bool operator==(const StoredXattr& other) const {
    return index == other.index && name == other.name;
  }
};

namespace {

using Stored = StoredXattr;

constexpr std::size_t kMemoryBytes = std::size_t{128} << 20U;
constexpr std::size_t kInodeRoom = sizeof(InodeRecord::xattrs) - 4;  // behind the magic number
constexpr std::size_t kEndMark = 4;                                  // zeros after the last entry

struct Prefix {
  std::string_view text;
  std::uint8_t index;
  bool is_whole_name;
};

// The two ACLs are whole names; their entries have no name of their own.
constexpr std::array kPrefixes{
    Prefix{"user.", 1, false},
    Prefix{"system.posix_acl_access", 2, true},
    Prefix{"system.posix_acl_default", 3, true},
    Prefix{"trusted.", 4, false},
    Prefix{"security.", 6, false},
};

const Prefix* prefix_of(std::string_view name) {
  for (const Prefix& prefix : kPrefixes) {
    if (prefix.is_whole_name ? name == prefix.text
                             : name.starts_with(prefix.text) && name.size() > prefix.text.size()) {
      return &prefix;
    }
  }
  return nullptr;
}

struct AclHeader {
  le32 version;
};

struct AclEntry {
  le16 tag;
  le16 permissions;
  le32 id;
};

static_assert(sizeof(AclEntry) == 8 && alignof(AclEntry) == 1);

// A system call's ACL has an id in every entry; ext4 leaves it out where it means nothing.
Result<std::vector<std::byte>> convert_acl(Bytes value) {
  constexpr std::uint32_t kCallVersion = 2;
  constexpr std::uint32_t kDiskVersion = 1;
  constexpr std::uint16_t kTagUser = 0x02;
  constexpr std::uint16_t kTagGroup = 0x08;
  constexpr std::array<std::uint16_t, 6> kTags{0x01, kTagUser, 0x04, kTagGroup, 0x10, 0x20};
  AclHeader header;
  if (value.size() < sizeof header || (value.size() - sizeof header) % sizeof(AclEntry) != 0) {
    return fail(ErrorCode::Invalid, "an ACL of {} bytes", value.size());
  }
  std::memcpy(&header, value.data(), sizeof header);
  if (header.version != kCallVersion) {
    return fail(ErrorCode::Invalid, "an ACL of version {}", std::uint32_t{header.version});
  }
  header.version = kDiskVersion;
  std::vector<std::byte> out(object_bytes(header).begin(), object_bytes(header).end());
  for (value = value.subspan(sizeof header); !value.empty();
       value = value.subspan(sizeof(AclEntry))) {
    AclEntry entry;
    std::memcpy(&entry, value.data(), sizeof entry);
    if (std::ranges::find(kTags, std::uint16_t{entry.tag}) == kTags.end()) {
      return fail(ErrorCode::Invalid, "an ACL entry of type {}", std::uint16_t{entry.tag});
    }
    const bool has_id = entry.tag == kTagUser || entry.tag == kTagGroup;
    const Bytes bytes = object_bytes(std::as_const(entry)).first(has_id ? 8 : 4);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

Result<std::vector<Stored>> stored_forms(std::span<const Xattr> xattrs) {
  std::vector<Stored> all;
  all.reserve(xattrs.size());
  for (const Xattr& xattr : xattrs) {
    const Prefix* prefix = prefix_of(xattr.name);
    if (prefix == nullptr) {
      return fail(ErrorCode::Unsupported, "extended attribute {} is of no namespace that is stored",
                  quote(xattr.name));
    }
    Stored stored{.index = prefix->index,
                  .name = std::string(xattr.name.substr(prefix->text.size())),
                  .value = {xattr.value.begin(), xattr.value.end()}};
    if (stored.name.size() > 255) {
      return fail(ErrorCode::Invalid, "extended attribute {}: the name is too long",
                  quote(xattr.name));
    }
    if (prefix->is_whole_name) {
      stored.value = BH_TRY(convert_acl(xattr.value));
    }
    all.push_back(std::move(stored));
  }
  // The last of equal names comes first, and only the first stays.
  std::ranges::reverse(all);
  std::ranges::stable_sort(all);
  const auto rest = std::ranges::unique(all);
  all.erase(rest.begin(), rest.end());
  return all;
}

/// Of name and value, as the kernel has always computed it on x86: characters are signed.
std::uint32_t entry_hash(const Stored& stored) {
  std::uint32_t hash = 0;
  for (const char c : stored.name) {
    hash = (hash << 5U) ^ (hash >> 27U) ^
           static_cast<std::uint32_t>(static_cast<std::int32_t>(static_cast<signed char>(c)));
  }
  std::vector<std::byte> value = stored.value;
  value.resize(padded(value.size()));
  for (std::size_t at = 0; at < value.size(); at += 4) {
    le32 word;
    std::memcpy(&word, value.data() + at, 4);
    hash = (hash << 16U) ^ (hash >> 16U) ^ word;
  }
  return hash;
}

enum class Area : std::uint8_t { Inode, Block };

struct Encoded {
  std::vector<std::byte> entries;
  std::vector<std::byte> values;
  std::uint32_t block_hash = 0;
};

/// Entries grow from the front of an area, values from its end. Offsets count from `base`.
Encoded encode(std::span<const Stored> all, Area area, std::size_t end_offset) {
  Encoded out;
  std::size_t values_size = 0;
  for (const Stored& stored : all) {
    values_size += padded(stored.value.size());
  }
  std::size_t offset = end_offset - values_size;
  for (const Stored& stored : all) {
    XattrEntryHead head;
    head.name_length = static_cast<std::uint8_t>(stored.name.size());
    head.name_index = stored.index;
    head.value_offset = static_cast<std::uint16_t>(stored.value.empty() ? 0 : offset);
    head.value_size = static_cast<std::uint32_t>(stored.value.size());
    if (area == Area::Block) {
      // In an inode it is 0.
      head.hash = entry_hash(stored);
    }
    out.block_hash = (out.block_hash << 16U) ^ (out.block_hash >> 16U) ^ head.hash;
    const Bytes head_bytes = object_bytes(std::as_const(head));
    const Bytes name = as_bytes(stored.name);
    out.entries.insert(out.entries.end(), head_bytes.begin(), head_bytes.end());
    out.entries.insert(out.entries.end(), name.begin(), name.end());
    out.entries.resize(padded(out.entries.size()));
    out.values.insert(out.values.end(), stored.value.begin(), stored.value.end());
    out.values.resize(padded(out.values.size()));
    offset += padded(stored.value.size());
  }
  return out;
}

std::size_t total_size(std::span<const Stored> all) {
  std::size_t total = kEndMark;
  for (const Stored& stored : all) {
    total += stored.size();
  }
  return total;
}

/// The attributes to keep in the inode; what is left of `all` goes to a block.
std::vector<Stored> take_for_inode(std::vector<Stored>& all, std::size_t block_room) {
  if (total_size(all) <= kInodeRoom) {
    return std::exchange(all, {});
  }
  std::vector<Stored> chosen;
  if (total_size(all) <= block_room) {
    return chosen;
  }
  std::size_t room = kInodeRoom - kEndMark;
  std::vector<Stored> rest;
  for (Stored& stored : all) {
    if (stored.size() <= room) {
      room -= stored.size();
      chosen.push_back(std::move(stored));
    } else {
      rest.push_back(std::move(stored));
    }
  }
  all = std::move(rest);
  return chosen;
}

std::vector<std::byte> inode_area(std::span<const Stored> all) {
  if (all.empty()) {
    return {};
  }
  const Encoded encoded = encode(all, Area::Inode, kInodeRoom);
  const le32 magic = kXattrMagic;
  std::vector<std::byte> area(sizeof(InodeRecord::xattrs));
  std::ranges::copy(object_bytes(magic), area.begin());
  std::ranges::copy(encoded.entries, area.begin() + 4);
  std::ranges::copy_backward(encoded.values, area.end());
  return area;
}

/// What a set is known by: all of its attributes, unambiguously.
std::string key_of(std::span<const Stored> all) {
  std::string key;
  for (const Stored& stored : all) {
    key += static_cast<char>(stored.index);
    key += static_cast<char>(stored.name.size());
    key += stored.name;
    const le32 size = static_cast<std::uint32_t>(stored.value.size());
    key += as_text(object_bytes(size));
    key += as_text(stored.value);
  }
  return key;
}

/// What key_of() was made of.
std::vector<Stored> stored_of(std::string_view key) {
  std::vector<Stored> all;
  const auto take = [&key](std::size_t size) {
    const std::string_view front = key.substr(0, size);
    key.remove_prefix(size);
    return front;
  };
  while (!key.empty()) {
    Stored stored;
    stored.index = static_cast<std::uint8_t>(take(1).front());
    stored.name = take(static_cast<std::uint8_t>(take(1).front()));
    le32 size;
    std::memcpy(&size, take(sizeof size).data(), sizeof size);
    const Bytes value = as_bytes(take(size));
    stored.value.assign(value.begin(), value.end());
    all.push_back(std::move(stored));
  }
  return all;
}

}  // namespace

bool is_storable_xattr(std::string_view name) { return prefix_of(name) != nullptr; }

bool is_overlay_mark(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

Result<std::uint32_t> XattrTable::add(std::span<const Xattr> xattrs) {
  return add_stored(BH_TRY(stored_forms(xattrs)));
}

Result<std::uint32_t> XattrTable::with(std::uint32_t id, const Xattr& xattr) {
  std::vector<Stored> added = BH_TRY(stored_forms(std::span(&xattr, 1)));
  std::vector<Stored> all = stored_of(sets_[id].key);
  std::erase(all, added.front());
  all.insert(std::ranges::upper_bound(all, added.front()), std::move(added.front()));
  return add_stored(std::move(all));
}

Result<std::uint32_t> XattrTable::without(std::uint32_t id, std::string_view name) {
  std::vector<Stored> all = stored_of(sets_[id].key);
  const Prefix* prefix = prefix_of(name);
  if (prefix == nullptr ||
      std::erase(all, Stored{.index = prefix->index,
                             .name = std::string(name.substr(prefix->text.size())),
                             .value = {}}) == 0) {
    return fail(ErrorCode::NotFound, "extended attribute {} does not exist", quote(name));
  }
  return add_stored(std::move(all));
}

Result<std::uint32_t> XattrTable::add_stored(std::vector<StoredXattr> all) {
  if (all.empty()) {
    return 0U;
  }
  std::string key = key_of(all);
  if (const auto known = ids_.find(key); known != ids_.end()) {
    ++sets_[known->second].references;
    return known->second;
  }
  const std::size_t size = total_size(all);
  const std::size_t block_room = block_size_ - sizeof(XattrBlockHeader);
  const std::vector<Stored> in_inode = take_for_inode(all, block_room);
  if (!all.empty() && total_size(all) > block_room) {
    return fail(ErrorCode::ResourceExhausted,
                "extended attributes of {} bytes do not fit beside one inode", size);
  }
  if (key.size() > kMemoryBytes - bytes_) {
    return fail(ErrorCode::ResourceExhausted, "more than {} MiB of different extended attributes",
                kMemoryBytes >> 20U);
  }
  bytes_ += key.size();
  XattrSet set;
  set.in_inode = inode_area(in_inode);
  if (!all.empty()) {
    Encoded encoded = encode(all, Area::Block, block_size_);
    set.entries = std::move(encoded.entries);
    set.values = std::move(encoded.values);
    set.block_hash = encoded.block_hash;
  }
  set.references = 1;
  const auto id = static_cast<std::uint32_t>(sets_.size());
  set.key = ids_.emplace(std::move(key), id).first->first;
  sets_.push_back(std::move(set));
  return id;
}

void XattrTable::remove(std::uint32_t id) {
  if (id != 0) {
    --sets_[id].references;
  }
}

std::vector<std::byte> make_xattr_block(const XattrSet& set, const XattrBlockUse& use,
                                        std::size_t block_size, std::uint32_t seed) {
  XattrBlockHeader header;
  header.magic = kXattrMagic;
  header.reference_count = use.references;
  header.blocks = 1U;
  header.hash = set.block_hash;
  std::vector<std::byte> content(block_size);
  std::ranges::copy(object_bytes(std::as_const(header)), content.begin());
  std::ranges::copy(set.entries, content.begin() + sizeof header);
  std::ranges::copy_backward(set.values, content.end());
  const le64 number = use.block;
  header.checksum = crc32c(crc32c(seed, object_bytes(number)), content);
  std::ranges::copy(object_bytes(std::as_const(header)), content.begin());
  return content;
}

}  // namespace bulkhead::ext4
