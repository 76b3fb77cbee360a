#include "bulkhead/os/machine.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <span>
#include <string>
#include <tuple>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

constexpr std::size_t kMostEntropy = 512;

}  // namespace

Result<> set_wall_clock(WallTime time) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const timespec native{.tv_sec = seconds.count(), .tv_nsec = (since_epoch - seconds).count()};
  if (::clock_settime(CLOCK_REALTIME, &native) != 0) {
    return Error::from_errno("set clock");
  }
  return {};
}

std::int64_t nanoseconds_since_boot() {
  timespec now{};
  std::ignore = ::clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

Result<> credit_entropy(Bytes entropy) {
  if (entropy.size() > kMostEntropy) {
    return fail(ErrorCode::Invalid, "entropy: {} bytes, at most {}", entropy.size(), kMostEntropy);
  }
  // struct rand_pool_info and its flexible array.
  std::array<std::uint32_t, 2 + kMostEntropy / sizeof(std::uint32_t)> pool{};
  pool[0] = static_cast<std::uint32_t>(entropy.size() * 8);
  pool[1] = static_cast<std::uint32_t>(entropy.size());
  std::ranges::copy(entropy, std::as_writable_bytes(std::span(pool).subspan(2)).begin());
  const UniqueFd random = BH_TRY(open_file("/dev/random", O_RDWR));
  if (::ioctl(random.get(), RNDADDENTROPY, pool.data()) != 0) {
    return Error::from_errno("add entropy");
  }
  if (::ioctl(random.get(), RNDRESEEDCRNG) != 0) {
    return Error::from_errno("reseed");
  }
  return {};
}

Result<> drop_block_cache(const std::string& device) {
  const UniqueFd fd = BH_TRY(open_file(device, O_RDONLY));
  if (::ioctl(fd.get(), BLKFLSBUF) != 0) {
    return Error::from_errno("drop the cache of " + device);
  }
  return {};
}

Result<> lock_memory() {
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    return Error::from_errno("lock memory");
  }
  return {};
}

void sync_file_systems() { ::sync(); }

Error restart_machine() {
  ::reboot(RB_AUTOBOOT);
  return Error::from_errno("reboot");
}

}  // namespace bulkhead::os
