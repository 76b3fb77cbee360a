#include "bulkhead/oci/reference.h"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::oci {
namespace {

std::string text_of(std::string_view text) {
  const auto reference = Reference::parse(text);
  return reference ? reference->text() : "error: " + reference.error().message();
}

const std::string kHex(64, 'a');

TEST(Reference, FillsInWhatDockerFillsIn) {
  EXPECT_EQ(text_of("alpine"), "docker.io/library/alpine:latest");
  EXPECT_EQ(text_of("alpine:3.19"), "docker.io/library/alpine:3.19");
  EXPECT_EQ(text_of("user/app"), "docker.io/user/app:latest");
  EXPECT_EQ(text_of("docker.io/alpine"), "docker.io/library/alpine:latest");
  EXPECT_EQ(text_of("index.docker.io/alpine"), "docker.io/library/alpine:latest");
  EXPECT_EQ(text_of("quay.io/a/b/c:x"), "quay.io/a/b/c:x");
  EXPECT_EQ(text_of("localhost/x"), "localhost/x:latest");
  EXPECT_EQ(text_of("localhost:5000/x"), "localhost:5000/x:latest");
  EXPECT_EQ(text_of("127.0.0.1:5000/x:1"), "127.0.0.1:5000/x:1");
  EXPECT_EQ(text_of("[::1]:5000/x:1"), "[::1]:5000/x:1");
  EXPECT_EQ(text_of("[fe80::1]/x"), "[fe80::1]/x:latest");
  EXPECT_EQ(text_of("EXAMPLE.com/x"), "example.com/x:latest");
  EXPECT_EQ(text_of("a__b/c.d-e---f"), "docker.io/a__b/c.d-e---f:latest");
}

TEST(Reference, TakesDigests) {
  EXPECT_EQ(text_of("alpine@sha256:" + kHex), "docker.io/library/alpine@sha256:" + kHex);
  EXPECT_EQ(text_of("alpine:3@sha256:" + kHex), "docker.io/library/alpine:3@sha256:" + kHex);
  const auto both = Reference::parse("x.io/alpine:3@sha512:" + kHex + kHex);
  ASSERT_THAT(both, IsOk());
  EXPECT_EQ(both->tag(), "3");
  EXPECT_EQ(both->tag_or_digest(), "sha512:" + kHex + kHex);
  EXPECT_EQ(both->with_tag_only().text(), "x.io/alpine:3");
  const auto only = Reference::parse("alpine@sha256:" + kHex);
  ASSERT_THAT(only, IsOk());
  EXPECT_EQ(only->tag(), std::nullopt);
}

TEST(Reference, IsShownAsPeopleWriteIt) {
  for (const std::string_view text :
       {"alpine:latest", "user/app:1", "quay.io/x:1", "localhost:5000/a/b:c", "library/sub/x:1"}) {
    const auto reference = Reference::parse(text);
    ASSERT_THAT(reference, IsOk()) << text;
    EXPECT_EQ(reference->familiar(), text);
  }
  EXPECT_EQ(Reference::parse("docker.io/library/alpine:3")->familiar(), "alpine:3");
  EXPECT_EQ(Reference::parse("docker.io/library/alpine:3")->familiar_name(), "alpine");
}

TEST(Reference, RejectsWhatIsMalformed) {
  for (const std::string& bad : std::initializer_list<std::string>{
           "",
           ":",
           "/",
           "alpine:",
           "alpine/",
           "/alpine",
           "Alpine",
           "Registry/x",
           "a//b",
           "a/../b",
           "../x",
           "x/..",
           "alpine:/../x",
           "alpine:-x",
           "alpine:.x",
           "alpine: x",
           "alpine:a b",
           "alpine\n",
           "al pine",
           "alpine:" + std::string(129, 'a'),
           std::string(256, 'a'),
           "a/" + std::string(10'240, 'a'),
           "alpine:" + std::string(10'240, 'a'),
           "-a",
           "a-",
           "a..b",
           "a___b",
           "a._b",
           "_a",
           "http://x/y",
           "x.io:0/y",
           "x.io:65536/y",
           "x.io:port/y",
           "x.io:+80/y",
           "x..io/y",
           "-x.io/y",
           "x.io-/y",
           ".io/y",
           "[::1/y",
           "[zz]:1/y",
           "[::1]x/y",
           "[::1]:/y",
           "user@x.io/y",
           "x.io/y?z",
           "x.io/y#z",
           "x.io/%2e%2e/y",
           "x.io/\xc3\xa4",
           std::string("alpine\0:x", 9),
           "alpine@",
           "alpine@sha256",
           "alpine@sha256:",
           "alpine@sha256:../../x",
           "alpine@sha256:" + std::string(64, 'A'),
           "alpine@sha256:" + kHex + "a",
           "alpine@sha256:" + kHex + "@sha256:" + kHex,
           "alpine@sha256:" + kHex + ":tag",
           kHex,
       }) {
    EXPECT_THAT(Reference::parse(bad), IsError(ErrorCode::Invalid)) << bad;
  }
  EXPECT_THAT(Reference::parse("alpine@md5:" + std::string(32, 'a')),
              IsError(ErrorCode::Unsupported));
}

TEST(Reference, MessagesDoNotCarryControlCharacters) {
  const auto bad = Reference::parse("a\x1b[31m\nb");
  ASSERT_THAT(bad, IsError(ErrorCode::Invalid));
  EXPECT_FALSE(bad.error().message().contains('\n'));
  EXPECT_FALSE(bad.error().message().contains('\x1b'));
}

}  // namespace
}  // namespace bulkhead::oci
