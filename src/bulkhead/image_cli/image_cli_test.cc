#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/image_cli/command_line.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/image_cli/registry_command_line.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/testing.h"

namespace bulkhead::image_cli {
namespace {

using store::test_image;

const WallTime kNow = *parse_rfc3339("2026-01-01T00:05:00Z");

TEST(ImageList, LooksLikeDockers) {
  store::ImageRecord digest_only = test_image("quay.io/x@sha256:" + std::string(64, 'b'), 'b');
  digest_only.created = "";
  EXPECT_EQ(format_list({test_image("docker.io/library/alpine:3", 'a'), digest_only},
                        ListFormat::Table, kNow),
            "REPOSITORY   TAG      IMAGE ID       CREATED         SIZE\n"
            "alpine       3        aaaaaaaaaaaa   5 minutes ago   61.3 MB\n"
            "quay.io/x    <none>   bbbbbbbbbbbb   N/A             61.3 MB\n");
  EXPECT_EQ(format_list({}, ListFormat::Table, kNow),
            "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n");
}

TEST(ImageList, GivesEachIdOnce) {
  EXPECT_EQ(format_list(
                {test_image("docker.io/library/a:1", 'a'), test_image("docker.io/library/a:2", 'a'),
                 test_image("docker.io/library/b:1", 'b')},
                ListFormat::Ids, kNow),
            "aaaaaaaaaaaa\nbbbbbbbbbbbb\n");
}

TEST(ImageList, IsJsonWhenAsked) {
  const auto value = json::parse(
      format_list({test_image("docker.io/library/a:1", 'a')}, ListFormat::Json, kNow), "list");
  ASSERT_THAT(value, IsOk());
  EXPECT_EQ(*value->as_array()->at(0).find("repository")->as_string(), "a");
  EXPECT_EQ(value->as_array()->at(0).find("size")->as_integer<int>(), 61'300'000);
  EXPECT_EQ(format_list({}, ListFormat::Json, kNow), "[]\n");
}

TEST(ImageList, ShowsEachPlatformWhenAsked) {
  store::ImageRecord kept = test_image("docker.io/library/a:1", 'b');
  kept.chain.reset();
  kept.platform = {.os = "linux", .architecture = "arm64", .variant = ""};
  store::ImageRecord artifact = test_image("docker.io/library/c:1", 'c');
  artifact.chain.reset();
  artifact.platform = {};
  artifact.artifact_type = "x/\x1b[31m";
  const std::string text = format_platforms(
      {test_image("docker.io/library/a:1", 'a'), kept, artifact}, ListFormat::Table, kNow);
  EXPECT_THAT(text, testing::HasSubstr("KIND\na"));
  EXPECT_THAT(text, testing::ContainsRegex("linux/amd64 .* sha256:a{64} .* image\n"));
  EXPECT_THAT(text, testing::ContainsRegex("linux/arm64 .* sha256:b{64} .* image, not unpacked\n"));
  EXPECT_THAT(text, testing::HasSubstr("x/\\x1b[31m\n"));
  const auto value = json::parse(format_platforms({kept}, ListFormat::Json, kNow), "list");
  ASSERT_THAT(value, IsOk());
  EXPECT_EQ(*value->as_array()->at(0).find("manifest")->as_string(),
            "sha256:" + std::string(64, 'b'));
  EXPECT_EQ(value->as_array()->at(0).find("unpacked")->as_bool(), false);
}

TEST(ImagePlatforms, ComeFromRepeatedAndCommaSeparatedOptions) {
  const auto options = fetch_options({.platforms = {"arm64,linux/arm/v6", "amd64"}});
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->platform.text(), "linux/arm64");
  ASSERT_EQ(options->more_platforms.size(), 2U);
  EXPECT_EQ(options->more_platforms[0].text(), "linux/arm/v6");
  EXPECT_EQ(options->more_platforms[1].text(), "linux/amd64");
  EXPECT_THAT(fetch_options({.platforms = {"a/b/c/d"}}), IsError(ErrorCode::Invalid));
}

TEST(ImagePlatforms, MayBeSaidByArchitectureAndSystem) {
  const oci::Platform host = oci::Platform::host();
  EXPECT_EQ(fetch_options({.architecture = "aarch64"})->platform.text(), "linux/arm64");
  EXPECT_EQ(fetch_options({.architecture = "arm64", .os = "other"})->platform.text(),
            "other/arm64");
  EXPECT_EQ(fetch_options({.os = "linux"})->platform, host);
  EXPECT_EQ(fetch_options({.platforms = {"linux/s390x"}, .architecture = "arm64"})->platform.text(),
            "linux/s390x");
  const auto selection = platform_selection({.architecture = "arm64"});
  ASSERT_THAT(selection, IsOk());
  ASSERT_EQ(selection->platforms.size(), 1U);
  EXPECT_EQ(selection->platforms[0].text(), "linux/arm64");
  EXPECT_TRUE(platform_selection({})->platforms.empty());
  EXPECT_THAT(fetch_options({.architecture = "a/b/c"}), IsError(ErrorCode::Invalid));
}

auto parse(std::vector<const char*> words) {
  words.insert(words.begin(), "bulkhead-image");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

TEST(ImageCommandLine, TakesCommandsAndRefusesNonsense) {
  for (std::vector<const char*> words : {std::vector<const char*>{"load", "-i", "x"},
                                         {"import", "-", "name"},
                                         {"list"},
                                         {"ls", "-q"},
                                         {"list", "--format", "json"},
                                         {"rm", "-f", "a", "b"},
                                         {"push", "a"},
                                         {"push", "-q", "--platform", "arm64,amd64", "a", "b"},
                                         {"push", "--progress", "tty", "--all-platforms", "a"},
                                         {"pull", "--platform", "arm64", "a"},
                                         {"pull", "--platform", "arm64", "--platform", "arm", "a"},
                                         {"import", "--platform", "arm64", "-", "name"},
                                         {"save", "--platform", "arm64", "a"},
                                         {"load", "--platform", "linux/arm64,arm/v7"},
                                         {"save", "-o", "x", "--format", "oci-dir", "a", "b"},
                                         {"save", "--all-platforms", "a"},
                                         {"tag", "a", "b", "c"},
                                         {"untag", "a"},
                                         {"prune", "-a"},
                                         {"rm", "-a"},
                                         {"delete", "--all", "-f"},
                                         {"list", "-v"},
                                         {"pull", "--max-concurrent-downloads", "1", "a"},
                                         {"pull", "--arch", "arm64", "--os", "linux", "a"},
                                         {"push", "--max-concurrent-uploads", "64", "a"},
                                         {"push", "--all-tags", "a"},
                                         {"verify", "--repair"},
                                         {"inspect", "a"}}) {
    const auto command = parse(std::move(words));
    ASSERT_THAT(command, IsOk());
    EXPECT_TRUE(std::holds_alternative<Command>(*command));
  }
  for (std::vector<const char*> words : {std::vector<const char*>{},
                                         {"nope"},
                                         {"import", "x"},
                                         {"rm"},
                                         {"rm", "-a", "a"},
                                         {"pull", "--max-concurrent-downloads", "0", "a"},
                                         {"pull", "--max-concurrent-downloads", "65", "a"},
                                         {"pull", "--max-concurrent-downloads", "-1", "a"},
                                         {"push"},
                                         {"save"},
                                         {"save", "--format", "zip", "a"},
                                         {"tag", "a"},
                                         {"list", "--format", "x"},
                                         {"load", "--nope"}}) {
    EXPECT_THAT(parse(std::move(words)), IsError(ErrorCode::Invalid));
  }
}

TEST(ImageCommandLine, HelpsWithExamples) {
  for (const char* command : {"pull", "push", "load", "save", "import", "list", "rm", "tag",
                              "untag", "prune", "verify", "inspect"}) {
    const auto help = parse({command, "--help"});
    ASSERT_THAT(help, IsOk());
    EXPECT_THAT(std::get<Help>(*help).text,
                testing::AllOf(testing::HasSubstr("Usage: bulkhead image " + std::string(command)),
                               testing::HasSubstr("Example")));
  }
}

TEST(RegistryCommandLine, TakesCommandsAndRefusesNonsense) {
  const auto parse_registry = [](std::vector<const char*> words) {
    words.insert(words.begin(), "bulkhead-image");
    return parse_registry_command_line(static_cast<int>(words.size()), words.data());
  };
  for (std::vector<const char*> words :
       {std::vector<const char*>{"login", "-u", "me", "--password-stdin", "quay.io"},
        {"logout"},
        {"registry", "ls", "-q"},
        {"registry", "tags", "--format", "json", "a"},
        {"registry", "list-tags", "a"},
        {"registry", "catalog", "--prefix", "b/", "--insecure", "a:5000"},
        {"registry", "referrers", "--artifact-type", "t", "a"},
        {"registry", "delete", "a:1", "b:1"}}) {
    EXPECT_THAT(parse_registry(std::move(words)), IsOk());
  }
  for (std::vector<const char*> words : {std::vector<const char*>{"registry"},
                                         {"registry", "nope"},
                                         {"registry", "tags"},
                                         {"registry", "tags", "a", "b"},
                                         {"registry", "catalog"},
                                         {"registry", "delete"},
                                         {"registry", "referrers", "--format", "x", "a"}}) {
    EXPECT_THAT(parse_registry(std::move(words)), IsError(ErrorCode::Invalid));
  }
  const auto help = parse_registry({"registry", "delete", "--help"});
  ASSERT_THAT(help, IsOk());
  EXPECT_THAT(std::get<Help>(*help).text,
              testing::AllOf(testing::HasSubstr("Usage: bulkhead registry delete"),
                             testing::HasSubstr("Examples:")));
}

}  // namespace
}  // namespace bulkhead::image_cli
