#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/registry/challenge.h"
#include "bulkhead/registry/credentials.h"
#include "bulkhead/registry/http.h"

namespace bulkhead::registry {
namespace {

TEST(Challenge, ParsesBearerWithQuotedParameters) {
  const auto challenge = Challenge::parse(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",Scope="a:b,c:pull")");
  ASSERT_THAT(challenge, IsOk());
  EXPECT_EQ(challenge->scheme, "bearer");
  EXPECT_EQ(challenge->parameter("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(challenge->parameter("scope"), "a:b,c:pull");
  EXPECT_EQ(challenge->parameter("absent"), "");
}

TEST(Challenge, ParsesBasicAndEscapes) {
  const auto challenge = Challenge::parse(R"(Basic realm="a \"quoted\" realm")");
  ASSERT_THAT(challenge, IsOk());
  EXPECT_EQ(challenge->scheme, "basic");
  EXPECT_EQ(challenge->parameter("realm"), R"(a "quoted" realm)");
}

TEST(Challenge, RejectsWhatIsMalformedOrHuge) {
  for (const std::string& bad :
       {std::string(), std::string("Bearer realm"), std::string("Bearer realm=\"open"),
        std::string("\"x\""), "Bearer realm=" + std::string(10000, 'x')}) {
    EXPECT_THAT(Challenge::parse(bad), IsError(ErrorCode::Invalid)) << bad.substr(0, 40);
  }
}

Origin origin(const std::string& url) { return origin_of(url).value(); }

TEST(Challenge, CredentialsGoToRelatedHostsOnly) {
  const Origin hub = origin("https://registry-1.docker.io/v2/");
  EXPECT_TRUE(may_send_credentials(origin("https://auth.docker.io/token"), hub));
  EXPECT_FALSE(may_send_credentials(origin("https://evil.docker.io/token"), hub));
  EXPECT_FALSE(may_send_credentials(origin("http://auth.docker.io/token"), hub));
  const Origin gitlab = origin("https://registry.gitlab.com");
  EXPECT_TRUE(may_send_credentials(origin("https://gitlab.com/jwt/auth"), gitlab));
  EXPECT_FALSE(may_send_credentials(origin("https://evilgitlab.com/"), gitlab));
  EXPECT_FALSE(may_send_credentials(origin("https://com/"), gitlab));
  const Origin british = origin("https://registry.example.co.uk");
  EXPECT_FALSE(may_send_credentials(origin("https://evil.co.uk/"), british));
  const Origin local = origin("http://127.0.0.1:5000");
  EXPECT_TRUE(may_send_credentials(origin("http://127.0.0.1:5000/token"), local));
  EXPECT_FALSE(may_send_credentials(origin("http://127.0.0.1:5001/token"), local));
}

TEST(Challenge, TokensAreAskedForOverHttpsUnlessTheRegistryIsNot) {
  EXPECT_TRUE(may_ask_for_token(origin("https://other.example"), origin("https://a.example")));
  EXPECT_FALSE(may_ask_for_token(origin("http://a.example"), origin("https://a.example")));
  EXPECT_TRUE(may_ask_for_token(origin("http://localhost:1"), origin("http://localhost:2")));
  EXPECT_FALSE(may_ask_for_token(origin("http://169.254.169.254"), origin("http://localhost")));
}

TEST(Credentials, AreFoundUnderTheNamesThatToolsWrite) {
  const std::string text =
      R"({"auths":{"https://index.docker.io/v1/":{"auth":"aHVi"},"localhost:5000":{"auth":"bG9j"},"x.example":{}}})";
  EXPECT_THAT(credentials_in(text, "docker.io"), IsOkAnd(std::optional<std::string>("aHVi")));
  EXPECT_THAT(credentials_in(text, "localhost:5000"), IsOkAnd(std::optional<std::string>("bG9j")));
  EXPECT_THAT(credentials_in(text, "x.example"), IsOkAnd(std::optional<std::string>()));
  EXPECT_THAT(credentials_in("{}", "docker.io"), IsOkAnd(std::optional<std::string>()));
  EXPECT_THAT(credentials_in("not json", "docker.io"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(credentials_in("{\"auths\":{\"a\":{\"auth\":\"a\\r\\nX: y\"}}}", "a"),
              IsError(ErrorCode::Invalid));
}

TEST(Http, OriginIsNormalised) {
  EXPECT_EQ(origin("https://Example.COM/x"), origin("https://example.com:443/y"));
  EXPECT_EQ(origin("http://[::1]:5000/").host, "::1");
  EXPECT_THAT(origin_of("file:///etc/passwd"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(origin_of("ftp://x/"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(origin_of(""), IsError(ErrorCode::Invalid));
}

TEST(Http, ReferencesAreResolved) {
  EXPECT_THAT(resolve_url("https://a.example/v2/x?y=1", "/v2/z"),
              IsOkAnd(std::string("https://a.example/v2/z")));
  EXPECT_THAT(resolve_url("https://a.example/v2/x", "http://b.example/"),
              IsOkAnd(std::string("http://b.example/")));
}

TEST(Http, LoopbackIsDecidedByText) {
  EXPECT_TRUE(is_loopback_host("localhost"));
  EXPECT_TRUE(is_loopback_host("127.8.9.1"));
  EXPECT_TRUE(is_loopback_host("::1"));
  EXPECT_FALSE(is_loopback_host("127.evil.example.com"));
  EXPECT_FALSE(is_loopback_host("127.0.0.1.example.com"));
  EXPECT_FALSE(is_loopback_host("localhost.example.com"));
  EXPECT_FALSE(is_loopback_host("10.0.0.1"));
}

TEST(Http, QueriesAreEncoded) { EXPECT_EQ(encode_query("a b/c&=\xc3"), "a%20b%2Fc%26%3D%C3"); }

}  // namespace
}  // namespace bulkhead::registry
