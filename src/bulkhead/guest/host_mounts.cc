#include "bulkhead/guest/host_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/guest/disks.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

bool is_share(const agent::v1::Mount& mount) { return mount.type() == "bind"; }

Result<> mount_shares() {
  return os::mount({.source = "shares",
                    .target = kSharesDirectory,
                    .type = "9p",
                    .flags = MS_NODEV,
                    // access=client: each user is told to the host, which makes files theirs.
                    // cache=mmap: as on the host, what others write is seen at once; only shared
                    // mappings are cached. msize: the most that one request can carry.
                    .data = "trans=virtio,version=9p2000.L,access=client,cache=mmap,"
                            "msize=512000"});
}

Result<os::UniqueFd> open_share(int shares, const agent::v1::Mount& mount) {
  const os::UniqueFd share = BH_TRY(os::open_in_root(shares, mount.source(), O_PATH | O_NOFOLLOW)
                                        .context("share for " + quote(mount.destination())));
  return os::clone_tree(share.get());
}

}  // namespace

Result<std::vector<os::UniqueFd>> open_host_mounts(const agent::v1::StartRequest& plan,
                                                   std::vector<os::UniqueFd> data_disks) {
  std::vector<os::UniqueFd> mounts(static_cast<std::size_t>(plan.mounts_size()));
  os::UniqueFd shares;
  if (std::ranges::any_of(plan.mounts(), is_share)) {
    BH_TRY(mount_shares().context("shared directories"));
    shares = BH_TRY(os::open_file(kSharesDirectory, O_PATH | O_DIRECTORY));
  }
  std::size_t disks = 0;
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const agent::v1::Mount& mount = plan.mounts(static_cast<int>(i));
    if (is_share(mount)) {
      mounts[i] = BH_TRY(open_share(shares.get(), mount));
    } else if (is_data_disk(mount) && disks < data_disks.size()) {
      mounts[i] = std::move(data_disks[disks++]);
    }
  }
  if (shares.is_open()) {
    BH_TRY(os::unmount(kSharesDirectory, MNT_DETACH));
  }
  return mounts;
}

}  // namespace bulkhead::guest
