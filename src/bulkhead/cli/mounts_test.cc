#include "bulkhead/cli/mounts.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/oci/spec.h"

namespace bulkhead::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;

auto at(const std::string& destination) { return Field(&oci::Mount::destination, destination); }

auto from(const std::string& source) { return Field(&oci::Mount::source, source); }

auto with(auto matcher) { return Field(&oci::Mount::options, matcher); }

TEST(Mounts, VolumesAreBindMounts) {
  EXPECT_THAT(
      parse_mounts({.volumes = {"/usr:/data"}, .mounts = {}, .tmpfs = {}, .disks = {}}, "/"),
      IsOkAnd(ElementsAre(AllOf(Field(&oci::Mount::type, "bind"), from("/usr"), at("/data"),
                                with(ElementsAre("rbind"))))));
  EXPECT_THAT(
      parse_mounts(
          {.volumes = {"./bin:/b/../c/:ro,Z,noexec,bind"}, .mounts = {}, .tmpfs = {}, .disks = {}},
          "/usr"),
      IsOkAnd(ElementsAre(
          AllOf(from("/usr/bin"), at("/c"), with(ElementsAre("ro", "noexec", "bind"))))));
}

TEST(Mounts, RefusesWhatItCannotGive) {
  const std::vector<std::pair<std::string, ErrorCode>> cases = {
      {"data:/data", ErrorCode::Unsupported},
      {"/data", ErrorCode::Unsupported},
      {"/usr:/data:shared", ErrorCode::Unsupported},
      {"/usr:data", ErrorCode::Invalid},
      {"/usr:/", ErrorCode::Invalid},
      {"/usr:/x/..", ErrorCode::Invalid},
      {"/usr:/data:rx", ErrorCode::Invalid},
      {"/usr:/data:ro:rw", ErrorCode::Invalid},
      {":/data", ErrorCode::Invalid},
      {"/no/such/thing:/data", ErrorCode::NotFound},
  };
  for (const auto& [volume, code] : cases) {
    EXPECT_THAT(parse_mounts({.volumes = {volume}, .mounts = {}, .tmpfs = {}, .disks = {}}, "/"),
                IsError(code))
        << volume;
  }
}

TEST(Mounts, FieldsSayTheSame) {
  EXPECT_THAT(
      parse_mounts(
          {.volumes = {}, .mounts = {"type=bind,src=bin/..,dst=/x"}, .tmpfs = {}, .disks = {}},
          "/usr"),
      IsError(ErrorCode::Unsupported));
  EXPECT_THAT(
      parse_mounts({.volumes = {},
                    .mounts = {"type=bind,source=/usr,target=/x,readonly,bind-nonrecursive=true"},
                    .tmpfs = {},
                    .disks = {}},
                   "/"),
      IsOkAnd(ElementsAre(AllOf(from("/usr"), at("/x"), with(ElementsAre("ro", "bind"))))));
  EXPECT_THAT(parse_mounts({.volumes = {},
                            .mounts = {"type=tmpfs,dst=/x,tmpfs-size=64m,tmpfs-mode=0700"},
                            .tmpfs = {},
                            .disks = {}},
                           "/"),
              IsOkAnd(ElementsAre(AllOf(
                  Field(&oci::Mount::type, "tmpfs"), at("/x"),
                  with(ElementsAre("noexec", "nosuid", "nodev", "size=67108864", "mode=0700"))))));
  for (const std::string bad :
       {"", "type=bind", "type=bind,source=/usr", "type=bind,target=/x", "type=tmpfs,dst=/x,what=1",
        "type=bind,source=/usr,target=/x,ro=perhaps", "type=tmpfs,dst=/x,tmpfs-size=much",
        "type=bind,source=/usr,target=/x,what"}) {
    EXPECT_THAT(parse_mounts({.volumes = {}, .mounts = {bad}, .tmpfs = {}, .disks = {}}, "/"),
                IsError(ErrorCode::Invalid))
        << bad;
  }
  EXPECT_THAT(
      parse_mounts({.volumes = {}, .mounts = {"src=x,dst=/x"}, .tmpfs = {}, .disks = {}}, "/"),
      IsError(ErrorCode::Unsupported));
}

TEST(Mounts, DisksAreImages) {
  const auto disk = [](const std::string& text) {
    return parse_mounts({.volumes = {}, .mounts = {}, .tmpfs = {}, .disks = {text}}, "/usr");
  };
  EXPECT_THAT(disk("bin:/data"),
              IsOkAnd(ElementsAre(AllOf(Field(&oci::Mount::type, "ext4"), from("/usr/bin"),
                                        at("/data"), with(ElementsAre("rw"))))));
  EXPECT_THAT(disk("/usr:/data:ro"), IsOkAnd(ElementsAre(with(ElementsAre("ro")))));
  EXPECT_THAT(disk("/usr:/data:rx"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(disk("/usr"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(disk("absent:/data"), IsError(ErrorCode::NotFound));
}

TEST(Mounts, OuterOnesComeFirstAndNoneTwice) {
  EXPECT_THAT(
      parse_mounts({.volumes = {"/usr:/a/b/c", "/usr:/a"},
                    .mounts = {},
                    .tmpfs = {"/a/b:size=1m,exec"},
                    .disks = {}},
                   "/"),
      IsOkAnd(ElementsAre(
          at("/a"),
          AllOf(at("/a/b"), with(ElementsAre("noexec", "nosuid", "nodev", "size=1m", "exec"))),
          at("/a/b/c"))));
  EXPECT_THAT(
      parse_mounts({.volumes = {"/usr:/a/"}, .mounts = {}, .tmpfs = {"/a"}, .disks = {}}, "/"),
      IsError(ErrorCode::Invalid));
}

TEST(Mounts, TakeThePlaceOfDefaults) {
  oci::Spec spec = oci::default_spec();
  const auto count = spec.mounts.size();
  const std::string first = spec.mounts.front().destination;
  auto mounts = parse_mounts(
      {.volumes = {"/usr:" + first, "/usr:/more"}, .mounts = {}, .tmpfs = {}, .disks = {}}, "/");
  ASSERT_THAT(mounts, IsOk());
  add_mounts(*std::move(mounts), spec);
  EXPECT_EQ(spec.mounts.size(), count + 1);
  EXPECT_THAT(spec.mounts.front(), AllOf(at(first), from("/usr")));
  EXPECT_THAT(spec.mounts.back(), at("/more"));
  EXPECT_THAT(spec.mounts, Contains(at("/dev/shm")));
  EXPECT_THAT(added_mounts(spec), ElementsAre(at(first), at("/more")));
  EXPECT_THAT(added_mounts(oci::default_spec()), ElementsAre());
}

}  // namespace
}  // namespace bulkhead::cli
