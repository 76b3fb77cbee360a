#include "bulkhead/image_cli/candidates.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/testing.h"
#include "bulkhead/os/file.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/testing.h"

namespace bulkhead::image_cli {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

/// The store is where the environment says.
class CandidatesTest : public ::testing::Test {
 protected:
  CandidatesTest()
      : directory_(::testing::TempDir() + "bulkhead-image-candidates-" +
                   std::to_string(::getpid())) {
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
    EXPECT_EQ(::setenv("BULKHEAD_STATE_DIR", directory_.c_str(), 1), 0);
  }

  void TearDown() override {
    ::unsetenv("BULKHEAD_STATE_DIR");
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
  }

  void make_images(const std::vector<std::string>& references) {
    ASSERT_THAT(os::make_directories(directory_), IsOk());
    auto catalog = store::Catalog::open(directory_ + "/images.db");
    ASSERT_THAT(catalog, IsOk());
    for (const std::string& reference : references) {
      ASSERT_THAT(catalog->put(store::test_image(reference), {}, {}), IsOk());
    }
  }

  static std::vector<std::string> words(const std::string& placeholder,
                                        const std::string& beginning = "") {
    std::vector<std::string> list;
    for (const program::Candidate& candidate :
         candidates({.command = "x", .placeholder = placeholder, .beginning = beginning})) {
      list.push_back(candidate.word);
    }
    return list;
  }

  std::string directory_;
};

TEST_F(CandidatesTest, ImagesGiveTheirNamesRepositoriesAndRegistries) {
  make_images({"docker.io/library/alpine:3", "docker.io/library/alpine:4", "quay.io/team/app:1"});
  EXPECT_THAT(words("IMAGE"), UnorderedElementsAre("alpine:3", "alpine:4", "quay.io/team/app:1"));
  // Once, however many images have it.
  EXPECT_THAT(words("REPOSITORY"), UnorderedElementsAre("alpine", "quay.io/team/app"));
  EXPECT_THAT(words("REGISTRY"), UnorderedElementsAre("docker.io", "quay.io"));
  EXPECT_THAT(words("FILE"), IsEmpty());
}

TEST_F(CandidatesTest, APlatformIsTheLastOfAList) {
  EXPECT_THAT(words("PLATFORM"), Contains("linux/arm64"));
  EXPECT_THAT(words("PLATFORM", "linux/amd64,linux/a"), Each(StartsWith("linux/amd64,linux/")));
}

TEST_F(CandidatesTest, NothingIsMadeByLooking) {
  EXPECT_THAT(words("IMAGE"), IsEmpty());
  EXPECT_FALSE(os::path_exists(directory_));
}

TEST_F(CandidatesTest, WhatCannotBeReadIsLeftOut) {
  ASSERT_THAT(os::make_directories(directory_), IsOk());
  ASSERT_THAT(os::write_file_atomically(directory_ + "/images.db", "nonsense"), IsOk());
  EXPECT_THAT(words("IMAGE"), IsEmpty());
}

}  // namespace
}  // namespace bulkhead::image_cli
