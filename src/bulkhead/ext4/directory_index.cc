#include "bulkhead/ext4/directory_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/directory_blocks.h"
#include "bulkhead/ext4/on_disk.h"

namespace bulkhead::ext4 {
namespace {

using Words = std::array<std::uint32_t, 4>;
using Chunk = std::array<std::uint32_t, 8>;

constexpr std::size_t kChunkBytes = sizeof(Chunk);
constexpr std::uint32_t kEndOfHashes = 0x7fffffffU << 1U;

std::uint32_t choose(std::uint32_t x, std::uint32_t y, std::uint32_t z) {
  return z ^ (x & (y ^ z));
}

std::uint32_t majority(std::uint32_t x, std::uint32_t y, std::uint32_t z) {
  return (x & y) + ((x ^ y) & z);
}

std::uint32_t parity(std::uint32_t x, std::uint32_t y, std::uint32_t z) { return x ^ y ^ z; }

/// Eight steps with one function: the order of the words, and the rotations, which repeat.
template <class Function>
void md4_round(Words& state, const Chunk& in, Function function, std::uint32_t constant,
               const std::array<std::uint8_t, 8>& order, const std::array<int, 4>& rotations) {
  for (std::size_t step = 0; step < 8; ++step) {
    // a, d, c, b in turn.
    const std::size_t a = (8 - step) % 4;
    std::uint32_t& word = state[a];
    word += function(state[(a + 1) % 4], state[(a + 2) % 4], state[(a + 3) % 4]) + in[order[step]] +
            constant;
    word = std::rotl(word, rotations[step % 4]);
  }
}

// MD4 cut down to three rounds of eight steps.
void half_md4(Words& state, const Chunk& in) {
  Words work = state;
  md4_round(work, in, choose, 0, {0, 1, 2, 3, 4, 5, 6, 7}, {3, 7, 11, 19});
  md4_round(work, in, majority, 0x5a827999, {1, 3, 5, 7, 0, 2, 4, 6}, {3, 5, 9, 13});
  md4_round(work, in, parity, 0x6ed9eba1, {3, 7, 2, 6, 1, 5, 0, 4}, {3, 9, 11, 15});
  for (std::size_t i = 0; i < state.size(); ++i) {
    state[i] += work[i];
  }
}

/// Up to 32 characters as big-endian words, padded with what is left of the name's length.
Chunk chunk_of(std::string_view rest) {
  auto pad = static_cast<std::uint32_t>(rest.size());
  pad |= pad << 8U;
  pad |= pad << 16U;
  Chunk chunk;
  chunk.fill(pad);
  const std::string_view here = rest.substr(0, kChunkBytes);
  std::uint32_t value = pad;
  for (std::size_t i = 0; i < here.size(); ++i) {
    value = (value << 8U) + static_cast<std::uint32_t>(static_cast<signed char>(here[i]));
    chunk[i / 4] = value;
    if (i % 4 == 3) {
      value = pad;
    }
  }
  return chunk;
}

struct HashedEntry {
  NameHash hash;
  std::uint32_t position = 0;
};

struct RootInfo {
  le32 reserved;
  std::uint8_t hash_version;
  std::uint8_t info_length;
  std::uint8_t levels;
  std::uint8_t flags;
};

static_assert(sizeof(RootInfo) == 8 && alignof(RootInfo) == 1);

constexpr std::size_t kDotSize = 12;  // of "." and of ".." with its name
static_assert(kRootEntriesAt == 2 * kDotSize + sizeof(RootInfo));

using Block = std::vector<std::byte>;

/// So many entries has an index block in which they begin at `at`.
std::size_t limit_of(std::size_t block_size, std::size_t at) {
  return (block_size - sizeof(IndexTail) - at) / sizeof(IndexEntry);
}

template <class T>
void put(Block& block, std::size_t at, const T& object) {
  std::memcpy(block.data() + at, &object, sizeof object);
}

/// Entries from `at` on, with counts and checksum.
void put_entries(Block& block, std::size_t at, std::span<const IndexEntry> entries,
                 std::uint32_t seed) {
  std::memcpy(block.data() + at, entries.data(), entries.size_bytes());
  put(block, at,
      CountAndLimit{.limit = static_cast<std::uint16_t>(limit_of(block.size(), at)),
                    .count = static_cast<std::uint16_t>(entries.size())});
  IndexTail tail;
  tail.checksum = crc32c(crc32c(seed, std::span(block).first(at + entries.size_bytes())),
                         object_bytes(std::as_const(tail)));
  put(block, block.size() - sizeof tail, tail);
}

Block root_block(std::uint32_t self, std::uint32_t parent, std::uint8_t levels,
                 std::span<const IndexEntry> entries, const DirectoryBlocks& blocks) {
  Block block(blocks.block_size());
  DirectoryEntryHead head;
  head.inode = self;
  head.record_length = static_cast<std::uint16_t>(kDotSize);
  head.name_length = 1;
  head.file_type = kTypeDirectory;
  put(block, 0, head);
  block[sizeof head] = std::byte{'.'};
  head.inode = parent;
  head.record_length = static_cast<std::uint16_t>(block.size() - kDotSize);
  head.name_length = 2;
  put(block, kDotSize, head);
  block[kDotSize + sizeof head] = std::byte{'.'};
  block[kDotSize + sizeof head + 1] = std::byte{'.'};
  put(block, 2 * kDotSize,
      RootInfo{.hash_version = 1, .info_length = sizeof(RootInfo), .levels = levels});
  put_entries(block, kRootEntriesAt, entries, blocks.seed());
  return block;
}

Block node_block(std::span<const IndexEntry> entries, const DirectoryBlocks& blocks) {
  Block block(blocks.block_size());
  DirectoryEntryHead head{};
  head.record_length = static_cast<std::uint16_t>(block.size());
  put(block, 0, head);
  put_entries(block, kNodeEntriesAt, entries, blocks.seed());
  return block;
}

/// For each leaf, the position of its first entry: as DirectoryBlocks will cut them.
std::vector<std::size_t> leaf_starts(std::span<const HashedEntry> order,
                                     std::span<const NamedInode> entries, std::size_t block_size) {
  std::vector<std::size_t> starts{0};
  std::size_t used = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t size = DirectoryBlocks::entry_size(entries[order[i].position].name);
    if (used + size > DirectoryBlocks::room(block_size)) {
      starts.push_back(i);
      used = 0;
    }
    used += size;
  }
  return starts;
}

}  // namespace

NameHash hash_name(std::string_view name, const HashSeed& seed) {
  Words state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  std::array<le32, 4> seed_words;
  std::memcpy(seed_words.data(), seed.data(), seed.size());
  if (std::ranges::any_of(seed, [](std::byte byte) { return byte != std::byte{0}; })) {
    std::ranges::copy(seed_words, state.begin());
  }
  for (; !name.empty(); name.remove_prefix(std::min(name.size(), kChunkBytes))) {
    half_md4(state, chunk_of(name));
  }
  std::uint32_t major = state[1] & ~1U;
  if (major == kEndOfHashes) {
    major = kEndOfHashes - 2;
  }
  return {.major = major, .minor = state[2]};
}

Result<bool> write_indexed(std::uint32_t self, std::uint32_t parent,
                           std::span<const NamedInode> entries, const HashSeed& seed,
                           DirectoryBlocks& blocks) {
  std::vector<HashedEntry> order;
  order.reserve(entries.size());
  for (const NamedInode& entry : entries) {
    order.push_back({.hash = hash_name(entry.name, seed),
                     .position = static_cast<std::uint32_t>(order.size())});
  }
  std::ranges::sort(order, [](const HashedEntry& a, const HashedEntry& b) {
    return std::pair(a.hash, a.position) < std::pair(b.hash, b.position);
  });
  const std::size_t root_limit = limit_of(blocks.block_size(), kRootEntriesAt);
  const std::size_t node_limit = limit_of(blocks.block_size(), kNodeEntriesAt);
  const std::vector<std::size_t> starts = leaf_starts(order, entries, blocks.block_size());
  const std::size_t nodes =
      starts.size() <= root_limit ? 0 : (starts.size() + node_limit - 1) / node_limit;
  if (nodes > root_limit) {
    return false;
  }
  std::vector<IndexEntry> leaves;
  leaves.reserve(starts.size());
  for (const std::size_t start : starts) {
    std::uint32_t hash = order[start].hash.major;
    if (start > 0 && order[start - 1].hash.major == hash) {
      hash |= 1U;  // this hash began in the leaf before
    }
    leaves.push_back(
        {.hash = hash, .block = static_cast<std::uint32_t>(1 + nodes + leaves.size())});
  }
  if (nodes == 0) {
    BH_TRY(blocks.add_raw(root_block(self, parent, 0, leaves, blocks)));
  } else {
    std::vector<IndexEntry> tops;
    for (std::size_t at = 0; at < leaves.size(); at += node_limit) {
      tops.push_back(
          {.hash = leaves[at].hash, .block = static_cast<std::uint32_t>(1 + tops.size())});
    }
    BH_TRY(blocks.add_raw(root_block(self, parent, 1, tops, blocks)));
    for (std::size_t at = 0; at < leaves.size(); at += node_limit) {
      const auto here = std::span(leaves).subspan(at, std::min(node_limit, leaves.size() - at));
      BH_TRY(blocks.add_raw(node_block(here, blocks)));
    }
  }
  for (const HashedEntry& hashed : order) {
    const NamedInode& entry = entries[hashed.position];
    BH_TRY(blocks.add(entry.name, entry.inode, entry.type));
  }
  BH_TRY(blocks.finish());
  return true;
}

}  // namespace bulkhead::ext4
