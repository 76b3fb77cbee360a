#include <chrono>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/registry/authorizer.h"
#include "bulkhead/registry/challenge.h"
#include "bulkhead/registry/content_range.h"
#include "bulkhead/registry/hosts.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/link_header.h"
#include "bulkhead/registry/retry.h"
#include "bulkhead/registry/url.h"

namespace bulkhead::registry {
namespace {

TEST(Challenge, ParsesBearerWithQuotedParameters) {
  const auto challenges = Challenge::parse(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",Scope="a:b,c:pull")");
  ASSERT_THAT(challenges, IsOk());
  ASSERT_EQ(challenges->size(), 1);
  const Challenge& challenge = challenges->front();
  EXPECT_EQ(challenge.scheme, "bearer");
  EXPECT_EQ(challenge.parameter("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(challenge.parameter("scope"), "a:b,c:pull");
  EXPECT_EQ(challenge.parameter("absent"), "");
}

TEST(Challenge, ParsesBasicAndEscapes) {
  const auto challenges = Challenge::parse(R"(Basic realm="a \"quoted\" realm")");
  ASSERT_THAT(challenges, IsOk());
  EXPECT_EQ(challenges->front().scheme, "basic");
  EXPECT_EQ(challenges->front().parameter("realm"), R"(a "quoted" realm)");
}

TEST(Challenge, ParsesSeveralInOneHeader) {
  const auto challenges =
      Challenge::parse(R"(Negotiate, Bearer realm="https://x/t", service=y , Basic realm="z")");
  ASSERT_THAT(challenges, IsOk());
  ASSERT_EQ(challenges->size(), 3);
  EXPECT_EQ((*challenges)[0].scheme, "negotiate");
  EXPECT_EQ((*challenges)[1].parameter("service"), "y");
  EXPECT_EQ((*challenges)[2].scheme, "basic");
  EXPECT_EQ((*challenges)[2].parameter("realm"), "z");
}

TEST(Challenge, RejectsWhatIsMalformedOrHuge) {
  for (const std::string& bad :
       {std::string(), std::string("realm=x"), std::string("Bearer realm=\"open"),
        std::string("\"x\""), std::string("a, b, c, d, e, f, g, h, i, j, k"),
        "Bearer realm=" + std::string(10000, 'x')}) {
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

TEST(Token, IsReadFromEitherName) {
  const auto token = Token::parse(R"({"token":"abc","expires_in":300})");
  ASSERT_THAT(token, IsOk());
  EXPECT_EQ(token->value, "abc");
  EXPECT_EQ(token->lifetime, std::chrono::seconds(300));
  const auto other = Token::parse(R"({"access_token":"x","expires_in":-5})");
  ASSERT_THAT(other, IsOk());
  EXPECT_EQ(other->lifetime, std::chrono::seconds(60));
  EXPECT_THAT(Token::parse("{}"), IsError(ErrorCode::Remote));
  EXPECT_THAT(Token::parse(R"({"token":"a\r\nX: y"})"), IsError(ErrorCode::Remote));
  EXPECT_THAT(Token::parse("<html>"), IsError(ErrorCode::Invalid));
}

TEST(ContentRange, TakesWhatIsWellFormed) {
  const auto range = ContentRange::parse("bytes 100-199/1000");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 100);
  EXPECT_EQ(range->last, 199);
  EXPECT_EQ(range->total, 1000);
  EXPECT_TRUE(ContentRange::parse("bytes 0-0/*"));
  for (const char* bad :
       {"", "bytes", "bytes */100", "bytes 5-4/10", "bytes 0-10/10", "items 0-1/2", "bytes 0-1",
        "bytes -1/2", "bytes 0-18446744073709551615/*", "bytes 1/2-3"}) {
    EXPECT_FALSE(ContentRange::parse(bad)) << bad;
  }
}

TEST(LinkHeader, TheNextPageIsFound) {
  EXPECT_EQ(next_link(R"(</v2/_catalog?last=a&n=2>; rel="next")"), "/v2/_catalog?last=a&n=2");
  EXPECT_EQ(next_link(R"(</a>; rel="prev", </b>; rel=next)"), "/b");
  for (const char* none : {"", "<", "</a>", "</a>; rel=\"prev\"", "rel=next", "></a; rel=next"}) {
    EXPECT_EQ(next_link(none), std::nullopt) << none;
  }
}

TEST(Backoff, GrowsAndEnds) {
  using std::chrono::milliseconds;
  Backoff backoff({.tries = 4, .first = milliseconds(100), .longest = milliseconds(200)});
  const auto first = backoff.next();
  ASSERT_TRUE(first);
  EXPECT_GE(*first, milliseconds(50));
  EXPECT_LE(*first, milliseconds(150));
  EXPECT_TRUE(backoff.next());
  const auto third = backoff.next();
  ASSERT_TRUE(third);
  EXPECT_LE(*third, milliseconds(300));
  EXPECT_FALSE(backoff.next());
  backoff.reset();
  EXPECT_TRUE(backoff.next());
}

TEST(Backoff, WaitsAsLongAsThePeerAsksWithinReason) {
  Backoff backoff;
  EXPECT_EQ(backoff.next(std::chrono::seconds(30)), std::chrono::seconds(30));
  EXPECT_FALSE(backoff.next(std::chrono::seconds(3600)));
}

TEST(Backoff, ReadsBothFormsOfRetryAfter) {
  const std::chrono::sys_seconds now{std::chrono::seconds(784111777)};
  EXPECT_EQ(parse_retry_after("120", now), std::chrono::seconds(120));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), std::chrono::seconds(10));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), std::chrono::seconds(0));
  EXPECT_FALSE(parse_retry_after("-1", now));
  EXPECT_FALSE(parse_retry_after("soon", now));
}

TEST(Backoff, ADateToComeBackAtIsByThePeersClock) {
  const std::chrono::sys_seconds ours{std::chrono::seconds(1'000'000'000)};
  const std::chrono::sys_seconds theirs{std::chrono::seconds(784111777)};
  EXPECT_EQ(time_of_peer("Sun, 06 Nov 1994 08:49:37 GMT", ours), theirs);
  EXPECT_EQ(time_of_peer(std::nullopt, ours), ours);
  EXPECT_EQ(time_of_peer("yesterday", ours), ours);
}

TEST(Hosts, MirrorsComeFirstInTheOrderOfTheFile) {
  const auto endpoints = parse_hosts(R"(
server = "https://registry-1.docker.io"
[host."https://b.example/mirror"]
  capabilities = ["pull", "resolve"]
  skip_verify = true
  [host."https://b.example/mirror".header]
    X-Key = ["one", "two"]
[host."http://a.example:5000/own/path"]
  override_path = true
  client = [["c.pem", "/k.pem"]]
  token_services = ["auth.example"]
)",
                                     "docker.io", "/certs");
  ASSERT_THAT(endpoints, IsOk());
  ASSERT_EQ(endpoints->size(), 3);
  const Endpoint& b = (*endpoints)[0];
  EXPECT_EQ(b.base_url, "https://b.example/mirror/v2");
  EXPECT_TRUE(b.is_mirror && b.can_pull && b.can_resolve);
  EXPECT_FALSE(b.can_push);
  EXPECT_EQ(b.tls.check, TlsCheck::Skip);
  EXPECT_EQ(b.headers.size(), 2);
  const Endpoint& a = (*endpoints)[1];
  EXPECT_EQ(a.base_url, "http://a.example:5000/own/path");
  EXPECT_EQ(a.tls.certificate_file, "/certs/c.pem");
  EXPECT_EQ(a.tls.key_file, "/k.pem");
  EXPECT_EQ(a.token_services.front(), "auth.example");
  EXPECT_FALSE(a.can_push);
  EXPECT_EQ((*endpoints)[2].base_url, "https://registry-1.docker.io/v2");
  EXPECT_FALSE((*endpoints)[2].is_mirror);
}

TEST(Hosts, TheRegistryItselfIsTheDefaultServer) {
  const auto endpoints = parse_hosts("skip_verify = true", "localhost:5000", "/certs");
  ASSERT_THAT(endpoints, IsOk());
  ASSERT_EQ(endpoints->size(), 1);
  EXPECT_EQ(endpoints->front().base_url, "https://localhost:5000/v2");
  EXPECT_EQ(endpoints->front().tls.check, TlsCheck::Skip);
  EXPECT_EQ(default_endpoint("docker.io").base_url, "https://registry-1.docker.io/v2");
}

TEST(Hosts, RefusesNonsense) {
  for (const char* bad : {"server = 1", "server = \"ftp://x\"", "server = \"https://u@x\"",
                          "host = 1", "[host.\"https://x\"]\ncapabilities = [\"fly\"]",
                          "skip_verify = \"yes\"", "client = [[\"a\"]]",
                          "[header]\nx = \"a\\r\\nb: c\"", "[header]\n\"a b\" = \"c\"", "x ="}) {
    EXPECT_THAT(parse_hosts(bad, "x.example", "/certs"), IsError(ErrorCode::Invalid)) << bad;
  }
  EXPECT_THAT(parse_hosts("ca = \"absent.crt\"", "x.example", "/no/such"),
              IsError(ErrorCode::NotFound));
}

TEST(Http, OriginIsNormalised) {
  EXPECT_EQ(origin("https://Example.COM/x"), origin("https://example.com:443/y"));
  EXPECT_EQ(origin("http://[::1]:5000/").host, "::1");
  EXPECT_THAT(origin_of("file:///etc/passwd"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(origin_of("ftp://x/"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(origin_of(""), IsError(ErrorCode::Invalid));
}

TEST(Http, AuthorityIsHostAndPortAsTheyStand) {
  EXPECT_EQ(authority_of("https://Example.com/v2"), "Example.com");
  EXPECT_EQ(authority_of("http://localhost:5000"), "localhost:5000");
  EXPECT_EQ(authority_of("quay.io/team"), "quay.io");
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
