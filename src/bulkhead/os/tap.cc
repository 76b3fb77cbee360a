#include "bulkhead/os/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {

Result<UniqueFd> create_tap(const std::string& name) {
  BH_CHECK(name.size() < IFNAMSIZ);
  UniqueFd fd = BH_TRY(open_file("/dev/net/tun", O_RDWR | O_NONBLOCK));
  ifreq request{};
  std::memcpy(static_cast<char*>(request.ifr_name), name.data(), name.size());
  // Exclusive: a persistent TAP that somebody made before would be joined without a word.
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    if (errno == EBUSY) {
      return fail(ErrorCode::AlreadyExists, "create TAP {}: the name is taken", name);
    }
    return Error::from_errno("create TAP " + name);
  }
  return fd;
}

}  // namespace bulkhead::os
