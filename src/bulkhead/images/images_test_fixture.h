#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/file.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

/// A store in a directory of its own.
class ImagesTest : public testing::Test {
 public:
  ImagesTest(const ImagesTest&) = delete;
  ImagesTest& operator=(const ImagesTest&) = delete;

  ~ImagesTest() override { static_cast<void>(os::remove_tree(directory_)); }

 protected:
  ImagesTest() {
    std::string pattern = testing::TempDir() + "bulkhead_images_XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    paths_.state = directory_ + "/state";
    paths_.run = directory_ + "/run";
  }

  store::Store open() {
    auto store = store::Store::open(paths_);
    EXPECT_THAT(store, IsOk());
    return *std::move(store);
  }

  std::vector<std::string> names(const std::string& directory) {
    return os::list_directory(paths_.state + "/" + directory).value_or(std::vector<std::string>());
  }

  /// Unpacked roots; what lies beside them is left out.
  std::vector<std::string> roots() {
    std::vector<std::string> roots = names("roots");
    std::erase_if(roots, [](const std::string& name) { return !name.ends_with(".ext4"); });
    return roots;
  }

  /// Nothing is named, and no file is left anywhere.
  void expect_empty(store::Store& store) {
    EXPECT_THAT(store.list(), IsOkAnd(testing::IsEmpty()));
    for (const char* directory :
         {"content/ingest", "content/blobs/sha256", "content/blobs/sha512", "roots"}) {
      EXPECT_THAT(names(directory), testing::IsEmpty()) << directory;
    }
  }

  std::string directory_;
  config::Paths paths_;
};

}  // namespace bulkhead::images
