#include <sys/resource.h>

#include <cstdint>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/guest/capabilities.h"
#include "bulkhead/guest/resource_limits.h"
#include "bulkhead/guest/sysctl.h"

namespace bulkhead::guest {
namespace {

TEST(Capabilities, AreBits) {
  EXPECT_EQ(capability_mask({}), 0U);
  EXPECT_EQ(capability_mask({"CAP_CHOWN", "CAP_KILL"}), 0x21U);
  EXPECT_EQ(capability_mask({"CAP_CHECKPOINT_RESTORE"}), std::uint64_t{1} << 40U);
  // Docker's default set, as /proc/self/status shows it.
  EXPECT_EQ(
      capability_mask({"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD",
                       "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
                       "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}),
      0xa80425fbU);
}

TEST(Capabilities, UnknownOnesAreNotGranted) {
  EXPECT_EQ(capability_mask({"CAP_EVERYTHING", "chown", "CAP_CHOWN"}), 1U);
}

TEST(ResourceLimits, AreKnownByName) {
  EXPECT_EQ(resource_by_name("RLIMIT_NOFILE"), RLIMIT_NOFILE);
  EXPECT_EQ(resource_by_name("RLIMIT_STACK"), RLIMIT_STACK);
  EXPECT_EQ(resource_by_name("nofile"), std::nullopt);
}

TEST(Sysctls, BecomePaths) {
  EXPECT_THAT(sysctl_path("net.ipv4.ip_forward"), IsOkAnd("net/ipv4/ip_forward"));
  EXPECT_THAT(sysctl_path("net/ipv4/conf/eth0.1/forwarding"),
              IsOkAnd("net/ipv4/conf/eth0.1/forwarding"));
  EXPECT_THAT(sysctl_path("net.ipv4.conf.eth0/1.forwarding"),
              IsOkAnd("net/ipv4/conf/eth0.1/forwarding"));
}

TEST(Sysctls, StayBelowTheirDirectory) {
  for (const char* name : {"", "..", "kernel..x", "/etc/passwd", "kernel/../../x", "a.", ".a"}) {
    EXPECT_THAT(sysctl_path(name), IsError(ErrorCode::Invalid)) << name;
  }
}

}  // namespace
}  // namespace bulkhead::guest
