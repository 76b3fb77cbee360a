#include "bulkhead/ext4/checker.h"

#include <cstdint>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_blocks.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/reader_layout.h"
#include "bulkhead/ext4/tar_exporter.h"

namespace bulkhead::ext4 {
namespace {

class NullWriter final : public archive::Writer {
 public:
  Result<> write(Bytes /*data*/) override { return {}; }
};

Result<> check_bitmap(Image& image, std::uint64_t number, std::uint32_t bits,
                      std::uint32_t stored) {
  const Block block = BH_TRY(image.blocks().block(number));
  const std::uint32_t sum = crc32c(image.layout().seed, Bytes(*block).first(bits / 8));
  // Descriptors of 32 bytes have room for half of it.
  const bool is_whole = image.layout().descriptor_size >= sizeof(GroupDescriptor);
  if ((is_whole ? sum : sum & 0xffffU) != stored) {
    return fail(ErrorCode::Corrupt, "block {}: wrong checksum of the bitmap", number);
  }
  return {};
}

Result<> check_groups(Image& image) {
  const Layout& layout = image.layout();
  for (std::uint32_t number = 0; number < layout.groups; ++number) {
    const Group group = BH_TRY(read_group(image.blocks(), layout, number));
    if (!layout.has_checksums()) {
      continue;
    }
    // With clusters a bitmap covers as many bits as the group has clusters, which nobody here
    // knows.
    const bool has_clusters = (layout.ro_compat & kRoCompatClusters) != 0;
    if ((group.flags & kGroupBlockUninit) == 0 && !has_clusters) {
      BH_TRY(check_bitmap(image, group.block_bitmap, layout.blocks_per_group,
                          group.block_bitmap_checksum));
    }
    if ((group.flags & kGroupInodeUninit) == 0) {
      BH_TRY(check_bitmap(image, group.inode_bitmap, layout.inodes_per_group,
                          group.inode_bitmap_checksum));
    }
  }
  return {};
}

}  // namespace

Result<CheckResult> check_image(Image& image) {
  BH_TRY(check_groups(image));
  const Inode root = BH_TRY(image.inode(kRootInode));
  if (!root.is_directory()) {
    return fail(ErrorCode::Corrupt, "inode {}: the root is not a directory", kRootInode);
  }
  NullWriter nowhere;
  const ExportResult result = BH_TRY(export_tar(image, root, "", nowhere));
  return CheckResult{.entries = result.entries + result.sockets,
                     .content_bytes = result.content_bytes};
}

}  // namespace bulkhead::ext4
