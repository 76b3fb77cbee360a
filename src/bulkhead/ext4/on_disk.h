#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "bulkhead/base/bytes.h"

// ext4 as it stands on disk. Source: kernel Documentation/filesystems/ext4. Only what we write or
// read has names of its own; the rest is padding.

namespace bulkhead::ext4 {

inline constexpr std::size_t kInodeSize = 256;
inline constexpr std::uint32_t kRootInode = 2;
inline constexpr std::uint32_t kJournalInode = 8;
inline constexpr std::uint32_t kFirstFreeInode = 11;
inline constexpr std::uint32_t kMaxLinks = 65000;
inline constexpr std::size_t kSuperblockOffset = 1024;
inline constexpr std::uint16_t kExtraInodeSize = 32;

/// Types in i_mode.
enum : std::uint16_t {
  kModeFifo = 0x1000,
  kModeCharacter = 0x2000,
  kModeDirectory = 0x4000,
  kModeBlock = 0x6000,
  kModeFile = 0x8000,
  kModeSymlink = 0xa000,
  kModeSocket = 0xc000,
  kModeTypeMask = 0xf000,
};

/// Types in directory entries.
enum : std::uint8_t {
  kTypeFile = 1,
  kTypeDirectory = 2,
  kTypeCharacter = 3,
  kTypeBlock = 4,
  kTypeFifo = 5,
  kTypeSocket = 6,
  kTypeSymlink = 7,
  kTypeChecksum = 0xde,
};

enum : std::uint32_t {
  kInodeFlagEncrypted = 0x800,
  kInodeFlagIndex = 0x1000,
  kInodeFlagExtents = 0x80000,
  kInodeFlagXattrValue = 0x200000,
  kInodeFlagInlineData = 0x10000000,
};

enum : std::uint16_t {
  kGroupInodeUninit = 1,
  kGroupBlockUninit = 2,
  kGroupInodeZeroed = 4,
};

enum : std::uint32_t {
  kCompatHasJournal = 0x4,
  kCompatExtAttr = 0x8,
  kCompatDirIndex = 0x20,
  kCompatSparseSuper2 = 0x200,
  kIncompatFiletype = 0x2,
  kIncompatRecover = 0x4,
  kIncompatMetaGroups = 0x10,
  kIncompatExtents = 0x40,
  kIncompat64Bit = 0x80,
  kIncompatMultiMount = 0x100,
  kIncompatFlexBg = 0x200,
  kIncompatXattrInode = 0x400,
  kIncompatChecksumSeed = 0x2000,
  kIncompatLargeDirectory = 0x4000,
  kIncompatInlineData = 0x8000,
  kIncompatEncrypt = 0x10000,
  kIncompatCasefold = 0x20000,
  kRoCompatSparseSuper = 0x1,
  kRoCompatLargeFile = 0x2,
  kRoCompatHugeFile = 0x8,
  kRoCompatGroupChecksum = 0x10,
  kRoCompatClusters = 0x200,
  kRoCompatDirNlink = 0x20,
  kRoCompatExtraIsize = 0x40,
  kRoCompatMetadataCsum = 0x400,
};

inline constexpr std::uint16_t kSuperblockMagic = 0xef53;

struct Superblock {
  le32 inodes_count;
  le32 blocks_count_lo;
  le32 r_blocks_count_lo;
  le32 free_blocks_count_lo;
  le32 free_inodes_count;
  le32 first_data_block;
  le32 log_block_size;
  le32 log_cluster_size;
  le32 blocks_per_group;
  le32 clusters_per_group;
  le32 inodes_per_group;
  le32 mtime;
  le32 wtime;
  le16 mnt_count;
  le16 max_mnt_count;
  le16 magic;
  le16 state;
  le16 errors;
  le16 minor_rev_level;
  le32 lastcheck;
  le32 checkinterval;
  le32 creator_os;
  le32 rev_level;
  le16 def_resuid;
  le16 def_resgid;
  le32 first_ino;
  le16 inode_size;
  le16 block_group_nr;
  le32 feature_compat;
  le32 feature_incompat;
  le32 feature_ro_compat;
  std::array<std::byte, 16> uuid;
  std::array<char, 16> volume_name;
  std::array<char, 64> last_mounted;
  le32 algorithm_usage_bitmap;
  std::uint8_t prealloc_blocks;
  std::uint8_t prealloc_dir_blocks;
  le16 reserved_gdt_blocks;
  std::array<std::byte, 16> journal_uuid;
  le32 journal_inum;
  le32 journal_dev;
  le32 last_orphan;
  std::array<std::byte, 16> hash_seed;
  std::uint8_t def_hash_version;
  std::uint8_t jnl_backup_type;
  le16 desc_size;
  le32 default_mount_opts;
  le32 first_meta_bg;
  le32 mkfs_time;
  std::array<le32, 17> jnl_blocks;
  le32 blocks_count_hi;
  le32 r_blocks_count_hi;
  le32 free_blocks_count_hi;
  le16 min_extra_isize;
  le16 want_extra_isize;
  le32 flags;
  le16 raid_stride;
  le16 mmp_interval;
  le64 mmp_block;
  le32 raid_stripe_width;
  std::uint8_t log_groups_per_flex;
  std::uint8_t checksum_type;
  le16 reserved_pad;
  le64 kbytes_written;
  std::array<std::byte, 204> unused_errors;
  std::array<le32, 2> backup_groups;
  std::array<std::byte, 28> unused_encryption;
  le32 checksum_seed;
  std::array<std::byte, 392> unused;
  le32 checksum;
};

static_assert(sizeof(Superblock) == 1024 && alignof(Superblock) == 1);
static_assert(offsetof(Superblock, backup_groups) == 0x24c);
static_assert(offsetof(Superblock, checksum_seed) == 0x270);
static_assert(offsetof(Superblock, hash_seed) == 0xec);
static_assert(offsetof(Superblock, jnl_blocks) == 0x10c);
static_assert(offsetof(Superblock, kbytes_written) == 0x178);

struct GroupDescriptor {
  le32 block_bitmap_lo;
  le32 inode_bitmap_lo;
  le32 inode_table_lo;
  le16 free_blocks_count_lo;
  le16 free_inodes_count_lo;
  le16 used_dirs_count_lo;
  le16 flags;
  le32 exclude_bitmap_lo;
  le16 block_bitmap_csum_lo;
  le16 inode_bitmap_csum_lo;
  le16 itable_unused_lo;
  le16 checksum;
  le32 block_bitmap_hi;
  le32 inode_bitmap_hi;
  le32 inode_table_hi;
  le16 free_blocks_count_hi;
  le16 free_inodes_count_hi;
  le16 used_dirs_count_hi;
  le16 itable_unused_hi;
  le32 exclude_bitmap_hi;
  le16 block_bitmap_csum_hi;
  le16 inode_bitmap_csum_hi;
  le32 reserved;
};

static_assert(sizeof(GroupDescriptor) == 64 && alignof(GroupDescriptor) == 1);

struct InodeRecord {
  le16 mode;
  le16 uid_lo;
  le32 size_lo;
  le32 atime;
  le32 ctime;
  le32 mtime;
  le32 dtime;
  le16 gid_lo;
  le16 links_count;
  le32 blocks_lo;
  le32 flags;
  le32 version;
  std::array<std::byte, 60> block;
  le32 generation;
  le32 file_acl_lo;
  le32 size_high;
  le32 obsolete_faddr;
  le16 blocks_high;
  le16 file_acl_high;
  le16 uid_high;
  le16 gid_high;
  le16 checksum_lo;
  le16 reserved;
  le16 extra_isize;
  le16 checksum_hi;
  le32 ctime_extra;
  le32 mtime_extra;
  le32 atime_extra;
  le32 crtime;
  le32 crtime_extra;
  le32 version_hi;
  le32 projid;
  std::array<std::byte, 96> xattrs;
};

static_assert(sizeof(InodeRecord) == kInodeSize && alignof(InodeRecord) == 1);

struct ExtentHeader {
  le16 magic;
  le16 entries;
  le16 max;
  le16 depth;
  le32 generation;
};

struct ExtentLeaf {
  le32 block;
  le16 length;
  le16 start_hi;
  le32 start_lo;
};

struct ExtentIndex {
  le32 block;
  le32 leaf_lo;
  le16 leaf_hi;
  le16 unused;
};

static_assert(sizeof(ExtentHeader) == 12 && sizeof(ExtentLeaf) == 12 && sizeof(ExtentIndex) == 12);
static_assert(alignof(ExtentHeader) == 1 && alignof(ExtentLeaf) == 1 && alignof(ExtentIndex) == 1);

inline constexpr std::uint16_t kExtentMagic = 0xf30a;
inline constexpr std::uint32_t kMaxExtentBlocks = 32768;
inline constexpr std::uint16_t kExtentsInInode = 4;

struct DirectoryEntryHead {
  le32 inode;
  le16 record_length;
  std::uint8_t name_length;
  std::uint8_t file_type;
};

static_assert(sizeof(DirectoryEntryHead) == 8 && alignof(DirectoryEntryHead) == 1);

// Where the entries of a directory's index begin: in its root behind "." and "..", 12 bytes each,
// and 8 bytes about the index; in its other nodes behind an entry that spans the block.
inline constexpr std::size_t kRootEntriesAt = 32;
inline constexpr std::size_t kNodeEntriesAt = sizeof(DirectoryEntryHead);

/// Ends every directory block.
struct DirectoryTail {
  le32 zero;
  le16 record_length;
  std::uint8_t zero_name_length;
  std::uint8_t file_type;
  le32 checksum;
};

static_assert(sizeof(DirectoryTail) == 12 && alignof(DirectoryTail) == 1);

struct XattrEntryHead {
  std::uint8_t name_length;
  std::uint8_t name_index;
  le16 value_offset;
  le32 value_inode;
  le32 value_size;
  le32 hash;
};

static_assert(sizeof(XattrEntryHead) == 16 && alignof(XattrEntryHead) == 1);

struct XattrBlockHeader {
  le32 magic;
  le32 reference_count;
  le32 blocks;
  le32 hash;
  le32 checksum;
  std::array<le32, 3> reserved;
};

static_assert(sizeof(XattrBlockHeader) == 32 && alignof(XattrBlockHeader) == 1);

inline constexpr std::uint32_t kXattrMagic = 0xea020000;
inline constexpr std::uint32_t kMaxXattrReferences = 1024;

/// An entry of a directory's hash tree.
struct IndexEntry {
  le32 hash;
  le32 block;
};

/// In the place of the first entry's hash.
struct CountAndLimit {
  le16 limit;
  le16 count;
};

/// Ends every index block.
struct IndexTail {
  le32 reserved;
  le32 checksum;
};

static_assert(sizeof(IndexEntry) == 8 && sizeof(CountAndLimit) == 4 && sizeof(IndexTail) == 8);

// JBD2, whose structures are big-endian.

inline constexpr std::uint32_t kJournalMagic = 0xc03b3998;

enum : std::uint32_t {
  kJournalDescriptor = 1,
  kJournalCommit = 2,
  kJournalSuperblockV1 = 3,
  kJournalSuperblockV2 = 4,
  kJournalRevoke = 5,
};

enum : std::uint32_t {
  kJournalIncompatRevoke = 0x1,
  kJournalIncompat64Bit = 0x2,
  kJournalIncompatAsyncCommit = 0x4,
  kJournalIncompatChecksumV2 = 0x8,
  kJournalIncompatChecksumV3 = 0x10,
};

enum : std::uint32_t {
  kTagEscaped = 1,
  kTagSameUuid = 2,
  kTagLast = 8,
};

struct JournalSuperblock {
  be32 magic;
  be32 block_type;
  be32 header_sequence;
  be32 block_size;
  be32 max_length;
  be32 first;
  be32 sequence;
  be32 start;
  be32 error_number;
  be32 feature_compat;
  be32 feature_incompat;
  be32 feature_ro_compat;
  std::array<std::byte, 16> uuid;
  be32 users;
  std::array<std::byte, 184> unused;
  be32 checksum;
  std::array<std::byte, 768> user_ids;
};

static_assert(sizeof(JournalSuperblock) == 1024 && alignof(JournalSuperblock) == 1);
static_assert(offsetof(JournalSuperblock, checksum) == 0xfc);

/// Begins every block of the journal that is not a copy.
struct JournalHeader {
  be32 magic;
  be32 block_type;
  be32 sequence;
};

static_assert(sizeof(JournalHeader) == 12);

struct JournalCommitBlock {
  JournalHeader header;
  std::uint8_t checksum_type;
  std::uint8_t checksum_size;
  be16 padding;
  std::array<be32, 8> checksums;
  be64 seconds;
  be32 nanoseconds;
};

static_assert(sizeof(JournalCommitBlock) == 60 && alignof(JournalCommitBlock) == 1);

/// With checksums of version 3; otherwise JournalTag, with 2 bytes behind it in version 2.
struct JournalTagV3 {
  be32 block_lo;
  be32 flags;
  be32 block_hi;
  be32 checksum;
};

/// Without block_hi where the journal is not 64-bit.
struct JournalTag {
  be32 block_lo;
  be16 checksum;
  be16 flags;
  be32 block_hi;
};

static_assert(sizeof(JournalTagV3) == 16 && sizeof(JournalTag) == 12);

struct JournalRevokeHeader {
  JournalHeader header;
  be32 used_bytes;  ///< this header included
};

static_assert(sizeof(JournalRevokeHeader) == 16);

}  // namespace bulkhead::ext4
