#include "bulkhead/registry/credentials.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/file.h"
#include "bulkhead/registry/base64.h"

namespace bulkhead::registry {
namespace {

TEST(Base64, IsTheStandards) {
  for (const auto& [plain, encoded] :
       std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                        {"f", "Zg=="},
                                                        {"fo", "Zm8="},
                                                        {"foo", "Zm9v"},
                                                        {"\xff\xfe\xfd?", "//79Pw=="}}) {
    EXPECT_EQ(encode_base64(plain), encoded);
    EXPECT_EQ(decode_base64(encoded), plain);
  }
  for (const char* bad : {"Z", "Zg=", "Zg=a", "====", "Zm9v\n", "Z===", "Zg==Zg=="}) {
    EXPECT_EQ(decode_base64(bad), std::nullopt) << bad;
  }
}

/// A directory with files that a store reads, and a helper program in PATH.
class CredentialsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "credentials-" + std::to_string(::getpid());
    ASSERT_THAT(os::remove_tree(directory_), IsOk());
    ASSERT_THAT(os::make_directories(directory_), IsOk());
  }

  void TearDown() override { ASSERT_THAT(os::remove_tree(directory_), IsOk()); }

  std::string write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = directory_ + "/" + name;
    EXPECT_THAT(os::write_file_atomically(path, text, mode), IsOk());
    return path;
  }

  /// docker-credential-test: keeps one file for each server.
  void make_helper() {
    write("docker-credential-test", R"(#!/bin/sh
cd ")" + directory_ + R"(" || exit 2
case $1 in
  get) read -r server
    [ -f kept ] || { echo 'credentials not found in native keychain'; exit 1; }
    cat kept ;;
  store) cat >kept ;;
  erase) rm -f kept ;;
  list) if [ -f kept ]; then 
      echo '{"https://index.docker.io/v1/":"someone","https://token.example":"<token>"}'; else echo '{}'; fi ;;
esac
)",
          0755);
    const char* path = std::getenv("PATH");
    ::setenv("PATH", (directory_ + ":" + (path == nullptr ? "/bin:/usr/bin" : path)).c_str(), 1);
  }

  std::string directory_;
};

TEST_F(CredentialsTest, AreFoundUnderTheNamesThatToolsWrite) {
  const CredentialStore store({write("config.json", R"({"auths":{
      "https://index.docker.io/v1/":{"auth":"aHVifjpwdw=="},
      "localhost:5000":{"auth":"bG9jOmE6Yg=="},
      "quay.io/team":{"auth":"dGVhbTp0"},
      "token.example":{"auth":"dTo=","identitytoken":"T"},
      "x.example":{}}})")});
  EXPECT_THAT(store.find("docker.io"),
              IsOkAnd(std::optional(Credentials{.user = "hub~", .secret = "pw"})));
  EXPECT_THAT(store.find("localhost:5000"),
              IsOkAnd(std::optional(Credentials{.user = "loc", .secret = "a:b"})));
  EXPECT_THAT(store.find("quay.io", "team/image"),
              IsOkAnd(std::optional(Credentials{.user = "team", .secret = "t"})));
  EXPECT_THAT(store.find("quay.io", "teamwork/image"), IsOkAnd(std::optional<Credentials>()));
  EXPECT_THAT(
      store.find("token.example"),
      IsOkAnd(std::optional(Credentials{.secret = "T", .kind = CredentialKind::IdentityToken})));
  EXPECT_THAT(store.find("x.example"), IsOkAnd(std::optional<Credentials>()));
}

TEST_F(CredentialsTest, TheFirstFileThatHasSomeWins) {
  const CredentialStore store({directory_ + "/absent", write("empty", ""),
                               write("one", R"({"auths":{"a.example":{"auth":"MTox"}}})"),
                               write("two", R"({"auths":{"a.example":{"auth":"Mjoy"},)"
                                            R"("b.example":{"auth":"Mjoy"}}})")});
  EXPECT_EQ(store.find("a.example").value()->user, "1");
  EXPECT_EQ(store.find("b.example").value()->user, "2");
}

TEST_F(CredentialsTest, TheEnvironmentWinsForItsRegistryAlone) {
  ::setenv(
      "REGISTRY_AUTH_FILE",
      write("auth.json", R"({"auths":{"a.example":{"auth":"Mjoy"},"b.example":{"auth":"Mjoy"}}})")
          .c_str(),
      1);
  ::setenv("CONTAINER_REGISTRY_HOST", "https://a.example/", 1);
  ::setenv("CONTAINER_REGISTRY_USER", "bot", 1);
  EXPECT_EQ(CredentialStore::from_environment().find("a.example").value()->user, "2");
  ::setenv("CONTAINER_REGISTRY_TOKEN", "t:oken", 1);
  const CredentialStore store = CredentialStore::from_environment();
  ::unsetenv("REGISTRY_AUTH_FILE");
  ::unsetenv("CONTAINER_REGISTRY_HOST");
  ::unsetenv("CONTAINER_REGISTRY_USER");
  ::unsetenv("CONTAINER_REGISTRY_TOKEN");
  EXPECT_THAT(store.find("a.example", "team/image"),
              IsOkAnd(std::optional(Credentials{.user = "bot", .secret = "t:oken"})));
  EXPECT_EQ(store.find("b.example").value()->user, "2");
}

TEST_F(CredentialsTest, MalformedFilesAreNamed) {
  for (const char* bad : {"not json", "[]", R"({"auths":{"a":{"auth":"!!"}}})",
                          R"({"auths":{"a":{"auth":"bm9jb2xvbg=="}}})",
                          R"({"credHelpers":{"a":"../../bin/sh"}})", R"({"credsStore":"a b"})"}) {
    const CredentialStore store({write("bad.json", bad)});
    const auto found = store.find("a");
    ASSERT_THAT(found, IsError(ErrorCode::Invalid)) << bad;
    EXPECT_THAT(found.error().message(), testing::HasSubstr("bad.json"));
  }
}

TEST_F(CredentialsTest, AreKeptPrivatelyBesideWhatElseIsThere) {
  const std::string path = directory_ + "/new/config.json";
  CredentialStore store({path});
  EXPECT_THAT(store.put("docker.io", {.user = "me", .secret = "s3:cret"}), IsOkAnd(path));
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  EXPECT_THAT(os::read_file(path), IsOkAnd(testing::HasSubstr("https://index.docker.io/v1/")));

  write(
      "new/config.json",
      R"({"HttpHeaders":{"A":"b"},"auths":{"docker.io":{"auth":"bzpv"},"b.example":{"auth":"Yjpi"}}})");
  ASSERT_THAT(store.put("docker.io", {.user = "me", .secret = "two"}), IsOk());
  EXPECT_EQ(store.find("docker.io").value()->secret, "two");
  EXPECT_EQ(store.find("b.example").value()->user, "b");
  EXPECT_THAT(os::read_file(path), IsOkAnd(testing::HasSubstr("HttpHeaders")));

  EXPECT_THAT(store.remove("docker.io"), IsOkAnd(true));
  EXPECT_THAT(store.remove("docker.io"), IsOkAnd(false));
  EXPECT_THAT(store.find("docker.io"), IsOkAnd(std::optional<Credentials>()));
  EXPECT_EQ(store.find("b.example").value()->user, "b");
}

TEST_F(CredentialsTest, ASymbolicLinkStaysOne) {
  write("real.json", "{}");
  const std::string link = directory_ + "/link.json";
  ASSERT_EQ(::symlink("real.json", link.c_str()), 0);
  CredentialStore store({link});
  ASSERT_THAT(store.put("a.example", {.user = "me", .secret = "pw"}), IsOk());
  EXPECT_THAT(os::read_link(link), IsOkAnd(std::string("real.json")));
  EXPECT_EQ(CredentialStore({directory_ + "/real.json"}).find("a.example").value()->user, "me");
}

TEST_F(CredentialsTest, HelpersKeepThemInsteadOfTheFile) {
  make_helper();
  const std::string path = write("config.json", R"({"credsStore":"test"})");
  CredentialStore store({path});
  EXPECT_THAT(store.find("docker.io"), IsOkAnd(std::optional<Credentials>()));
  const Credentials mine{.user = "me", .secret = "in the keychain"};
  ASSERT_THAT(store.put("docker.io", mine), IsOk());
  EXPECT_THAT(store.find("docker.io"), IsOkAnd(std::optional(mine)));
  EXPECT_THAT(os::read_file(path), IsOkAnd(testing::Not(testing::HasSubstr("auth\""))));
  const auto logins = store.list();
  ASSERT_THAT(logins, IsOk());
  ASSERT_EQ(logins->size(), 2U);
  EXPECT_EQ(logins->front().registry, "docker.io");
  EXPECT_EQ(logins->front().user, "someone");
  EXPECT_EQ(logins->back().registry, "token.example");
  EXPECT_EQ(logins->back().user, "");
  EXPECT_THAT(store.remove("docker.io"), IsOkAnd(true));
  EXPECT_THAT(store.find("docker.io"), IsOkAnd(std::optional<Credentials>()));
}

TEST_F(CredentialsTest, AnAbsentHelperIsAnErrorThatNamesIt) {
  const CredentialStore store(
      {write("config.json", R"({"credHelpers":{"a.example":"no-such-helper"}})")});
  const auto found = store.find("a.example");
  ASSERT_THAT(found, IsError(ErrorCode::NotFound));
  EXPECT_THAT(found.error().message(), testing::HasSubstr("docker-credential-no-such-helper"));
  EXPECT_THAT(store.find("b.example"), IsOkAnd(std::optional<Credentials>()));
}

}  // namespace
}  // namespace bulkhead::registry
