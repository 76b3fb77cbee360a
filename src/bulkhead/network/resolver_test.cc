#include "bulkhead/network/resolver.h"

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/log.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/file.h"

namespace bulkhead::network {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Resolver, TakesWhatMeansTheSameInAGuest) {
  const auto config = parse_resolver_config(
      "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.1\r\n  nameserver 2001:db8::1\n"
      "nameserver not-an-address\nnameserver 192.0.2.2\nsearch a.example b.example\n"
      "options ndots:2 edns0\n");
  EXPECT_THAT(config.servers, ElementsAre("192.0.2.1", "192.0.2.2"));
  EXPECT_THAT(config.searches, ElementsAre("a.example", "b.example"));
  EXPECT_THAT(config.options, ElementsAre("ndots:2", "edns0"));
  EXPECT_EQ(config.text(),
            "nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch a.example b.example\n"
            "options ndots:2 edns0\n");
}

TEST(Resolver, BoundsAndValidates) {
  std::string text;
  for (int i = 1; i < 10; ++i) {
    text += "nameserver 192.0.2." + std::to_string(i) + "\n";
  }
  text += "search good.example bad\x01name " + std::string(300, 'x') + "\n";
  const auto config = parse_resolver_config(text);
  EXPECT_EQ(config.servers.size(), 3U);
  EXPECT_THAT(config.searches, ElementsAre("good.example"));
  EXPECT_THAT(parse_resolver_config("").servers, IsEmpty());
}

TEST(Resolver, LeavesOutServersThatAGuestCannotReach) {
  for (const char* server :
       {"127.0.0.1", "127.1.2.3", "0.0.0.0", "::", "::1", "fe80::1", "fe80::1%eth0", "2001:db8::1",
        "::ffff:127.0.0.1", "224.0.0.251", "255.255.255.255", "192.0.2.1/24"}) {
    EXPECT_THAT(parse_resolver_config(std::string("nameserver ") + server + "\n").servers,
                IsEmpty())
        << server;
  }
}

TEST(Resolver, SearchesInDomainsOnly) {
  EXPECT_THAT(
      parse_resolver_config("search -a.example a..b . good.example. a:b _x.example\n").searches,
      ElementsAre("good.example.", "_x.example"));
}

class ResolverFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "bulkhead-resolver-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    log::configure(log::Level::Warning,
                   [this](log::Level, std::string_view line) { warnings_.emplace_back(line); });
  }

  void TearDown() override {
    log::configure(log::Level::Warning, nullptr);
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
  }

  [[nodiscard]] ResolverFiles files() const {
    return {.administrator = directory_ + "/bulkhead",
            .host = directory_ + "/host",
            .systemd = directory_ + "/systemd"};
  }

  void write(const std::string& path, std::string_view text) {
    ASSERT_THAT(os::write_file_atomically(path, text), IsOk());
  }

  std::string directory_;
  std::vector<std::string> warnings_;
};

TEST_F(ResolverFilesTest, TheHostsServersAreTaken) {
  write(files().host, "nameserver 192.0.2.1\n");
  write(files().systemd, "nameserver 192.0.2.2\n");
  EXPECT_THAT(host_resolver_config(files()).servers, ElementsAre("192.0.2.1"));
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(ResolverFilesTest, BehindSystemdsStubItsOwnServersAreTaken) {
  write(files().host, "nameserver 127.0.0.53\n");
  write(files().systemd, "nameserver 192.0.2.2\nsearch a.example\n");
  EXPECT_THAT(host_resolver_config(files()).servers, ElementsAre("192.0.2.2"));
  EXPECT_THAT(host_resolver_config(files()).searches, ElementsAre("a.example"));
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(ResolverFilesTest, WithoutAUsableServerPublicOnesAreTakenAndSaidSo) {
  write(files().host, "nameserver 127.0.0.1\nnameserver 2001:db8::1\nsearch a.example\n");
  const auto config = host_resolver_config(files());
  EXPECT_THAT(config.servers, ElementsAre("1.1.1.1", "8.8.8.8"));
  EXPECT_THAT(config.searches, ElementsAre("a.example"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr(files().administrator)));
}

TEST_F(ResolverFilesTest, TheAdministratorsServersComeFirst) {
  write(files().administrator, "nameserver 192.0.2.9\n");
  write(files().host, "nameserver 192.0.2.1\n");
  EXPECT_THAT(host_resolver_config(files()).servers, ElementsAre("192.0.2.9"));
}

}  // namespace
}  // namespace bulkhead::network
