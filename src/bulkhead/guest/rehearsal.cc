#include "bulkhead/guest/rehearsal.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <array>
#include <string>
#include <utility>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/layout.h"
#include "bulkhead/guest/staged_child.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

/// As a container's: an overlay, of two directories in memory.
Result<os::UniqueFd> make_root(const std::string& program) {
  const std::string place = kRehearsalDirectory;
  BH_TRY(os::mount({.source = "rehearsal", .target = place, .type = "tmpfs"}));
  for (const char* directory : {"/upper", "/work", "/root"}) {
    BH_TRY(os::make_directories(place + directory));
  }
  BH_TRY(Rehearsal::fill_root(place + "/lower", program));
  BH_TRY(os::mount({.source = "root",
                    .target = place + "/root",
                    .type = "overlay",
                    .data = "lowerdir=" + place + "/lower,upperdir=" + place +
                            "/upper,workdir=" + place + "/work"}));
  const os::UniqueFd root = BH_TRY(os::open_file(place + "/root", O_PATH | O_DIRECTORY));
  os::UniqueFd detached = BH_TRY(os::clone_tree(root.get()));
  BH_TRY(os::unmount(place + "/root", MNT_DETACH));
  BH_TRY(os::unmount(place, MNT_DETACH));
  return detached;
}

}  // namespace

Result<std::string> Rehearsal::program_of(const agent::v1::StartRequest& plan) {
  if (plan.process().arguments().empty()) {
    return fail(ErrorCode::Invalid, "no program is named");
  }
  return plan.process().arguments(0);
}

Result<> Rehearsal::fill_root(const std::string& root, const std::string& program) {
  for (const char* directory : {"/proc", "/dev", "/sys", "/etc"}) {
    BH_TRY(os::make_directories(root + directory));
  }
  BH_TRY(os::write_file_atomically(root + program, BH_TRY(os::read_file("/rehearsal")), 0755));
  BH_TRY(os::write_file_atomically(root + "/etc/passwd", "root:x:0:0::/root:/bin/sh\n"));
  return os::write_file_atomically(root + "/etc/group", "root:x:0:\n");
}

Result<Rehearsal> Rehearsal::prepare(const agent::v1::PrepareRequest& request) {
  os::UniqueFd root = BH_TRY(make_root(BH_TRY(program_of(request.rehearsal()))));
  StagedChild child = BH_TRY(StagedChild::create(nullptr, request));
  const os::UniqueFd null = BH_TRY(os::open_file("/dev/null", O_RDWR));
  BH_TRY(os::set_idle_priority(child.pid()));
  const std::array standard = {null.get(), null.get(), null.get()};
  BH_TRY(child.start(request.rehearsal(), standard));
  os::UniqueFd report = child.take_report();
  return Rehearsal(std::move(child), std::move(report), std::move(root));
}

Result<> Rehearsal::begin() {
  const os::UniqueFd root = std::move(root_);
  return StagedChild::give_root(report_.get(), root.get(), {});
}

}  // namespace bulkhead::guest
