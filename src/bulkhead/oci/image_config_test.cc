#include "bulkhead/oci/image_config.h"

#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/oci/image_process.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/spec.h"

namespace bulkhead::oci {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string config_text(const std::string& members) {
  return R"({"os":"linux","architecture":"amd64","config":{)" + members + "}}";
}

auto parse_with(const std::string& members) { return ImageConfig::parse(config_text(members)); }

TEST(ImageConfig, ParsesAndRoundTrips) {
  const std::string digest = "sha256:" + std::string(64, 'b');
  const auto config = ImageConfig::parse(
      R"({"created":"2026-01-01T00:00:00Z","author":"me","architecture":"aarch64","os":"linux",
          "variant":"v8","config":{"User":"redis:1000","ExposedPorts":{"6379/tcp":{},"1-2/udp":{}},
          "Env":["A=b","C=d=e","E="],"Entrypoint":["/e"],"Cmd":["x","y"],"Volumes":{"/data":{}},
          "WorkingDir":"/w","Labels":{"l":"m"},"StopSignal":"SIGQUIT","Other":1},
          "rootfs":{"type":"layers","diff_ids":[")" +
      digest + R"("]},"history":[{"created_by":"RUN","empty_layer":true}],"extra":{}})");
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->platform, (Platform{"linux", "arm64", ""}));
  EXPECT_EQ(config->user, "redis:1000");
  EXPECT_THAT(config->environment, ElementsAre("A=b", "C=d=e", "E="));
  EXPECT_THAT(config->exposed_ports, ElementsAre("6379/tcp", "1-2/udp"));
  EXPECT_THAT(config->volumes, ElementsAre("/data"));
  EXPECT_EQ(config->diff_ids.at(0).text(), digest);
  EXPECT_TRUE(config->history.at(0).is_empty_layer);
  const auto again = ImageConfig::parse(config->serialise());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->serialise(), config->serialise());
}

TEST(ImageConfig, TakesNullsAndNothing) {
  EXPECT_THAT(parse_with(R"("Env":null,"Cmd":null,"Entrypoint":null,"Labels":null,"Volumes":null)"),
              IsOk());
  const auto bare = ImageConfig::parse("{}");
  ASSERT_THAT(bare, IsOk());
  EXPECT_EQ(bare->platform, Platform::host());
  EXPECT_THAT(ImageConfig::parse(R"({"config":null,"rootfs":null,"history":null})"), IsOk());
}

TEST(ImageConfig, RefusesOtherSystemsBeforeAnythingElse) {
  const auto windows = ImageConfig::parse(
      R"({"os":"windows","architecture":"amd64","config":{"WorkingDir":"C:\\"}})");
  ASSERT_THAT(windows, IsError(ErrorCode::Unsupported));
  EXPECT_THAT(windows.error().message(), HasSubstr("windows/amd64"));
}

TEST(ImageConfig, RefusesUsersThatAreNotPlain) {
  for (const std::string_view bad : {"-1",
                                     "4294967296",
                                     "2147483648",
                                     "4294967295",
                                     "0x0",
                                     "00x",
                                     "root:999999999999",
                                     "root:-1",
                                     "../../x",
                                     "a/b",
                                     "root\\n",
                                     "ro ot",
                                     "a:b:c",
                                     ":",
                                     "root:",
                                     ":0",
                                     "1e3",
                                     "+0",
                                     " 0",
                                     "0 ",
                                     "99999999999999999999999999"}) {
    EXPECT_THAT(parse_with(fmt::format(R"("User":"{}")", bad)), IsError(ErrorCode::Invalid)) << bad;
  }
  EXPECT_THAT(check_user(std::string(257, 'a')), IsError(ErrorCode::Invalid));
  EXPECT_THAT(check_user(std::string_view("root\0", 5)), IsError(ErrorCode::Invalid));
  for (const std::string_view good :
       {"", "root", "0", "0:0", "redis", "www-data:www-data", "1000:audio", "2147483647", "_apt",
        "samba$", "first.last@corp"}) {
    EXPECT_THAT(check_user(good), IsOk()) << good;
  }
}

TEST(ImageConfig, RefusesBadEnvironments) {
  EXPECT_THAT(parse_with(R"("Env":["NAME"])"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_with(R"("Env":["=x"])"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_with(R"("Env":["A=\u0000"])"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_with(R"("Env":"A=b")"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_with(R"("Env":["A=)" + std::string(1U << 20U, 'x') + "\"]"),
              IsError(ErrorCode::ResourceExhausted));
  std::string many;
  for (int i = 0; i < 100'000; ++i) {
    many += fmt::format(R"({}"NAME_{}=some value")", i == 0 ? "" : ",", i);
  }
  EXPECT_THAT(parse_with("\"Env\":[" + many + "]"), IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(parse_with(R"("Env":["LD_PRELOAD=/x.so","PATH="])"), IsOk());
}

TEST(ImageConfig, RefusesBadDirectoriesPortsAndSignals) {
  for (const std::string_view bad : {"../../..", "app", "/a/../b", "/.."}) {
    EXPECT_THAT(parse_with(fmt::format(R"("WorkingDir":"{}")", bad)), IsError(ErrorCode::Invalid))
        << bad;
  }
  for (const std::string_view bad :
       {"0/tcp", "65536/tcp", "80/icmp", "x/tcp", "1-2-3/tcp", "-1", "/tcp", "80/tcp/udp"}) {
    EXPECT_THAT(parse_with(fmt::format(R"("ExposedPorts":{{"{}":{{}}}})", bad)),
                IsError(ErrorCode::Invalid))
        << bad;
  }
  EXPECT_THAT(parse_with(R"("StopSignal":"SIGNOPE")"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_with(R"("StopSignal":9)"), IsError(ErrorCode::Invalid));
}

TEST(ImageConfig, RefusesBadDiffIds) {
  const auto with = [](const std::string& rootfs) {
    return ImageConfig::parse("{\"rootfs\":" + rootfs + "}");
  };
  EXPECT_THAT(with(R"({"type":"layers","diff_ids":["sha256:x"]})"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(with(R"({"type":"layers","diff_ids":[1]})"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(with(R"({"type":"base","diff_ids":[]})"), IsError(ErrorCode::Unsupported));
  std::string many;
  for (int i = 0; i < 2049; ++i) {
    many += (i == 0 ? "\"sha256:" : ",\"sha256:") + std::string(64, 'a') + "\"";
  }
  EXPECT_THAT(with(R"({"diff_ids":[)" + many + "]}"), IsError(ErrorCode::ResourceExhausted));
}

TEST(ImageConfig, RefusesAMillionArguments) {
  std::string many;
  for (int i = 0; i < 1'000'000; ++i) {
    many += i == 0 ? "\"\"" : ",\"\"";
  }
  EXPECT_THAT(parse_with("\"Cmd\":[" + many + "]"), IsError(ErrorCode::ResourceExhausted));
}

TEST(Signal, ParsesNamesAndNumbers) {
  EXPECT_THAT(parse_signal("SIGTERM"), IsOkAnd(15));
  EXPECT_THAT(parse_signal("term"), IsOkAnd(15));
  EXPECT_THAT(parse_signal("9"), IsOkAnd(9));
  EXPECT_THAT(parse_signal("SIGRTMIN"), IsOkAnd(34));
  EXPECT_THAT(parse_signal("RTMIN+3"), IsOkAnd(37));
  EXPECT_THAT(parse_signal("SIGRTMAX-1"), IsOkAnd(63));
  for (const std::string_view bad : {"", "0", "65", "-9", "SIG", "RTMIN+31", "RTMIN-1", "9 "}) {
    EXPECT_THAT(parse_signal(bad), IsError(ErrorCode::Invalid)) << bad;
  }
}

ImageConfig image() {
  ImageConfig config;
  config.entrypoint = {"/entry"};
  config.command = {"serve"};
  config.environment = {"A=1", "B=2"};
  config.working_directory = "/app";
  config.user = "redis";
  return config;
}

TEST(ApplyImage, LaysOptionsOverTheImage) {
  Process process;
  ASSERT_THAT(apply_image(image(), {}, process), IsOk());
  EXPECT_THAT(process.args, ElementsAre("/entry", "serve"));
  EXPECT_THAT(process.env, ElementsAre(HasSubstr("PATH=/usr/local/sbin"), "A=1", "B=2"));
  EXPECT_EQ(process.cwd, "/app");
  EXPECT_EQ(process.user.username, "redis");

  ASSERT_THAT(apply_image(image(),
                          {.arguments = {"x", "y"},
                           .environment = {"A=9", "B", "C=3", "PATH=/p"},
                           .working_directory = "/w",
                           .user = "0:0",
                           .terminal = true},
                          process),
              IsOk());
  EXPECT_THAT(process.args, ElementsAre("/entry", "x", "y"));
  EXPECT_THAT(process.env, ElementsAre("PATH=/p", "A=9", "TERM=xterm", "C=3"));
  EXPECT_EQ(process.cwd, "/w");
  EXPECT_EQ(process.user.username, "0:0");
}

TEST(ApplyImage, EntrypointDropsTheImagesCommand) {
  Process process;
  ASSERT_THAT(apply_image(image(), {.entrypoint = "/sh"}, process), IsOk());
  EXPECT_THAT(process.args, ElementsAre("/sh"));
  ASSERT_THAT(apply_image(image(), {.entrypoint = "", .arguments = {"ls"}}, process), IsOk());
  EXPECT_THAT(process.args, ElementsAre("ls"));
}

TEST(ApplyImage, NeedsACommandAndGoodOptions) {
  Process process;
  EXPECT_THAT(apply_image({}, {}, process), IsError(ErrorCode::Invalid));
  EXPECT_THAT(apply_image(image(), {.entrypoint = ""}, process), IsError(ErrorCode::Invalid));
  EXPECT_THAT(apply_image(image(), {.working_directory = "x"}, process),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(apply_image(image(), {.user = "-1"}, process), IsError(ErrorCode::Invalid));
  EXPECT_THAT(apply_image(image(), {.environment = {"=x"}}, process), IsError(ErrorCode::Invalid));
}

}  // namespace
}  // namespace bulkhead::oci
