#include "bulkhead/ext4/tree.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/on_disk.h"

namespace bulkhead::ext4 {
namespace {

class TreeTest : public testing::Test {
 protected:
  void symlink(NodeId directory, std::string_view name, std::string_view target) {
    const NodeId id = *tree_.make_node(kModeSymlink | 0777);
    tree_.node(id).target = tree_.keep(target);
    tree_.node(id).size = target.size();
    ASSERT_THAT(tree_.link(directory, name, id, 1), IsOk());
  }

  NodeId directory(NodeId parent, std::string_view name) {
    return *tree_.make_directory(parent, name, 0755, 1);
  }

  Result<std::optional<Place>> locate(std::string_view path) {
    return tree_.locate(path, MissingParents::Report, 1);
  }

  Tree tree_{{1, 2}};
};

TEST_F(TreeTest, EndsEverySearchWhateverWasRemoved) {
  // An index that was made anew for few names was filled to the last place.
  const auto name = [](int i) { return "n" + std::to_string(i); };
  for (int i = 0; i < 16; ++i) {
    directory(kRootNode, name(i));
  }
  for (int i = 0; i < 15; ++i) {
    tree_.release(tree_.unlink(kRootNode, *tree_.find(kRootNode, name(i))));
  }
  for (int i = 100; i < 200; ++i) {
    directory(kRootNode, name(i));
    EXPECT_EQ(tree_.find(kRootNode, "absent"), nullptr);
  }
}

TEST_F(TreeTest, FindsTheRootUnderManyNames) {
  for (const std::string_view path : {"", "/", ".", "//.//"}) {
    const auto place = locate(path);
    ASSERT_THAT(place, IsOk());
    EXPECT_TRUE((*place)->is_root());
  }
}

TEST_F(TreeTest, FollowsLinksInTheMiddleInsideTheRoot) {
  const NodeId usr = directory(kRootNode, "usr");
  const NodeId lib = directory(usr, "lib");
  symlink(kRootNode, "lib", "usr/lib");
  symlink(usr, "up", "../../../../usr/./lib");
  symlink(usr, "abs", "/usr/lib/");
  for (const std::string_view path : {"lib/x", "usr/up/x", "/usr/abs/x", "usr/lib/x"}) {
    const auto place = locate(path);
    ASSERT_THAT(place, IsOk()) << path;
    ASSERT_TRUE(*place) << path;
    EXPECT_EQ((*place)->directory, lib) << path;
    EXPECT_EQ((*place)->name, "x") << path;
  }
  const auto last = locate("lib");
  EXPECT_EQ((*last)->directory, kRootNode);
  EXPECT_EQ((*last)->name, "lib");
}

TEST_F(TreeTest, RefusesLinkLoopsAndFilesOnTheWay) {
  symlink(kRootNode, "a", "b");
  symlink(kRootNode, "b", "a");
  EXPECT_THAT(locate("a/x"), IsError(ErrorCode::Invalid));
  for (int i = 0; i < 50; ++i) {
    symlink(kRootNode, "l" + std::to_string(i), "l" + std::to_string(i + 1));
  }
  directory(kRootNode, "l50");
  EXPECT_THAT(locate("l0/x"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(locate("l10/x"), IsOk());
  const NodeId file = *tree_.make_node(kModeFile | 0644);
  ASSERT_THAT(tree_.link(kRootNode, "f", file, 1), IsOk());
  EXPECT_THAT(locate("f/x"), IsError(ErrorCode::Invalid));
}

TEST_F(TreeTest, MakesMissingParentsThroughDanglingLinks) {
  symlink(kRootNode, "d", "/tmp/probe");
  EXPECT_FALSE(*locate("d/x"));
  const auto place = tree_.locate("d/x", MissingParents::Make, 3);
  ASSERT_THAT(place, IsOk());
  EXPECT_EQ((*place)->name, "x");
  const auto again = locate("tmp/probe/x");
  EXPECT_EQ((*again)->directory, (*place)->directory);
  EXPECT_EQ(tree_.find(kRootNode, "tmp")->layer, 3);
}

TEST_F(TreeTest, LimitsDepth) {
  std::string path;
  for (int i = 0; i < 2049; ++i) {
    path += "a/";
  }
  EXPECT_THAT(tree_.locate(path + "x", MissingParents::Make, 1), IsError(ErrorCode::Invalid));
}

TEST_F(TreeTest, FindsNamesInLargeDirectoriesAfterRemovals) {
  const NodeId many = directory(kRootNode, "many");
  for (std::uint32_t i = 0; i < 5000; ++i) {
    const NodeId id = *tree_.make_node(kModeFile);
    ASSERT_THAT(tree_.link(many, "n" + std::to_string(i), id, 1), IsOk());
    if (i % 3 == 0) {
      tree_.release(tree_.unlink(many, *tree_.find(many, "n" + std::to_string(i))));
    }
  }
  for (std::uint32_t i = 0; i < 5000; ++i) {
    EXPECT_EQ(tree_.find(many, "n" + std::to_string(i)) != nullptr, i % 3 != 0) << i;
  }
  EXPECT_EQ(tree_.node(many).directory->live, 3333U);
}

TEST_F(TreeTest, RefusesLongNamesAndTooManyNodes) {
  const NodeId id = *tree_.make_node(kModeFile);
  EXPECT_THAT(tree_.link(kRootNode, std::string(256, 'n'), id, 1), IsError(ErrorCode::Invalid));
  EXPECT_THAT(tree_.link(kRootNode, std::string(255, 'n'), id, 1), IsOk());
  tree_.set_max_nodes(3);
  EXPECT_THAT(tree_.make_node(kModeFile), IsOk());
  EXPECT_THAT(tree_.make_node(kModeFile), IsError(ErrorCode::ResourceExhausted));
}

}  // namespace
}  // namespace bulkhead::ext4
