#include "bulkhead/network/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cstring>
#include <string>

#include "bulkhead/base/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::network {

Result<os::UniqueFd> create_tap(const std::string& name) {
  BH_CHECK(name.size() < IFNAMSIZ);
  os::UniqueFd fd = BH_TRY(os::open_file("/dev/net/tun", O_RDWR | O_NONBLOCK));
  ifreq request{};
  std::memcpy(static_cast<char*>(request.ifr_name), name.data(), name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return Error::from_errno("create TAP " + name);
  }
  return fd;
}

}  // namespace bulkhead::network
