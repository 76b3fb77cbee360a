#include "bulkhead/runtime/templates.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kMemory = 1U << 20U;

constexpr std::uint64_t kPage = 4096;

class TemplatesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "bulkhead-templates-" + std::to_string(::getpid());
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
    paths_.state = directory_ + "/state";
    paths_.run = directory_ + "/run";
    templates_.emplace(paths_);
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  static TemplateShape shape(const std::string& text = "one") {
    return {.text = text, .vcpus = 2, .memory_bytes = kMemory, .has_network = true};
  }

  /// Of memory with two pages in it, and a state.
  void make(const TemplateShape& of = shape()) {
    auto draft = templates_->begin(of);
    ASSERT_THAT(draft, IsOk());
    ASSERT_TRUE(draft->has_value());
    const auto files = (*draft)->files();
    ASSERT_THAT(files, IsOk());
    ASSERT_THAT(os::pwrite_all(files->memory.get(), as_bytes("kernel"), kPage), IsOk());
    ASSERT_THAT(os::pwrite_all(files->memory.get(), as_bytes("agent"), kMemory - 8), IsOk());
    ASSERT_THAT(os::write_all(files->devices.get(), as_bytes("state")), IsOk());
    ASSERT_THAT((*draft)->commit(), IsOk());
  }

  std::string file(const std::string& name) {
    return paths_.templates() + "/" + shape().key() + "/" + name;
  }

  /// As after a boot of the host.
  void forget_marks() { ASSERT_THAT(os::remove_tree(paths_.template_marks()), IsOk()); }

  void write_into(const std::string& name, std::uint64_t at) {
    const auto fd = os::open_file(file(name), O_WRONLY);
    ASSERT_THAT(fd, IsOk());
    struct stat before{};
    ASSERT_EQ(::fstat(fd->get(), &before), 0);
    ASSERT_THAT(os::pwrite_all(fd->get(), as_bytes("!"), at), IsOk());
    const std::array times = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::futimens(fd->get(), times.data()), 0);
  }

  void expect_dropped() {
    EXPECT_FALSE(templates_->find(shape()).has_value());
    EXPECT_FALSE(os::path_exists(paths_.templates() + "/" + shape().key()));
  }

  std::string directory_;
  config::Paths paths_;
  std::optional<Templates> templates_;
};

TEST_F(TemplatesTest, IsFoundByItsShapeReadOnly) {
  EXPECT_FALSE(templates_->find(shape()).has_value());
  make();
  const auto found = templates_->find(shape());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(::fcntl(found->memory.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(::fcntl(found->devices.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_THAT(os::read_to_end(found->devices.get(), 100), IsOkAnd("state"));
  EXPECT_FALSE(templates_->find(shape("other")).has_value());
}

TEST_F(TemplatesTest, BelongsToItsUserAlone) {
  make();
  struct stat info{};
  for (const char* name : {"memory", "devices", "template.json"}) {
    ASSERT_EQ(::stat(file(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << name;
  }
  ASSERT_EQ(::chmod(file("memory").c_str(), 0644), 0);
  expect_dropped();
}

TEST_F(TemplatesTest, IsMadeByOneAtATime) {
  auto first = templates_->begin(shape());
  ASSERT_THAT(first, IsOk());
  ASSERT_TRUE(first->has_value());
  const auto second = templates_->begin(shape());
  ASSERT_THAT(second, IsOk());
  EXPECT_FALSE(second->has_value());
  const auto other = templates_->begin(shape("other"));
  ASSERT_THAT(other, IsOk());
  EXPECT_TRUE(other->has_value());
}

TEST_F(TemplatesTest, IsNotMadeTwice) {
  make();
  const auto again = templates_->begin(shape());
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->has_value());
}

TEST_F(TemplatesTest, ADraftThatIsNotCommittedLeavesNothing) {
  {
    const auto draft = templates_->begin(shape());
    ASSERT_THAT(draft, IsOk());
    ASSERT_THAT((*draft)->files(), IsOk());
  }
  EXPECT_THAT(os::list_directory(paths_.templates()), IsOkAnd(IsEmpty()));
}

TEST_F(TemplatesTest, WhatAKilledMakerLeftIsRemoved) {
  make();
  const std::string left = paths_.templates() + "/0123456789abcdef.new";
  ASSERT_THAT(os::make_directories(left), IsOk());
  ASSERT_THAT(templates_->trim(1U << 30U), IsOk());
  EXPECT_THAT(os::list_directory(paths_.templates()), IsOkAnd(ElementsAre(shape().key())));
}

TEST_F(TemplatesTest, TornMemoryIsFoundOutOncePerBoot) {
  make();
  ASSERT_TRUE(templates_->find(shape()).has_value());
  write_into("memory", kPage);
  // Times and size are as before: only the checksum tells, and it was looked at already.
  EXPECT_TRUE(templates_->find(shape()).has_value());
  forget_marks();
  expect_dropped();
}

TEST_F(TemplatesTest, AHoleThatWasFilledIsFoundOut) {
  make();
  write_into("memory", 8 * kPage);
  forget_marks();
  expect_dropped();
}

TEST_F(TemplatesTest, TornDevicesAreFoundOutAtOnce) {
  make();
  ASSERT_TRUE(templates_->find(shape()).has_value());
  write_into("devices", 0);
  expect_dropped();
}

TEST_F(TemplatesTest, AnotherFileInItsPlaceIsNotTaken) {
  make();
  ASSERT_THAT(os::write_file_atomically(file("devices"), "state", 0600), IsOk());
  expect_dropped();
}

TEST_F(TemplatesTest, ACutFileIsNotTaken) {
  make();
  ASSERT_EQ(::truncate(file("memory").c_str(), kMemory / 2), 0);
  expect_dropped();
}

TEST_F(TemplatesTest, ALinkIsNotFollowed) {
  make();
  const std::string elsewhere = directory_ + "/elsewhere";
  ASSERT_THAT(os::rename_path(file("memory"), elsewhere), IsOk());
  ASSERT_EQ(::symlink(elsewhere.c_str(), file("memory").c_str()), 0);
  expect_dropped();
}

TEST_F(TemplatesTest, AForeignRecordIsNotTaken) {
  for (const char* text : {"", "{", "{\"version\": 2}", "[]", "{\"version\": 1}"}) {
    make();
    ASSERT_THAT(os::write_file_atomically(file("template.json"), text, 0600), IsOk());
    expect_dropped();
  }
}

TEST_F(TemplatesTest, ATemplateOfAnotherShapeUnderThisNameIsNotTaken) {
  make(shape("other"));
  ASSERT_THAT(os::rename_path(paths_.templates() + "/" + shape("other").key(),
                              paths_.templates() + "/" + shape().key()),
              IsOk());
  expect_dropped();
}

TEST_F(TemplatesTest, ListsTheLastUsedFirst) {
  make();
  make(shape("other"));
  ::usleep(20'000);
  ASSERT_TRUE(templates_->find(shape()).has_value());
  const auto records = templates_->list();
  ASSERT_THAT(records, IsOk());
  ASSERT_EQ(records->size(), 2);
  EXPECT_EQ((*records)[0].key, shape().key());
  EXPECT_EQ((*records)[0].shape.vcpus, 2);
  EXPECT_TRUE((*records)[0].shape.has_network);
  EXPECT_GE((*records)[0].bytes, 3 * kPage);
  EXPECT_LT((*records)[0].bytes, kMemory);
}

TEST_F(TemplatesTest, TheLeastRecentlyUsedGoesWhenTheyTakeTooMuch) {
  make();
  make(shape("other"));
  ::usleep(20'000);
  ASSERT_TRUE(templates_->find(shape()).has_value());
  ASSERT_THAT(templates_->trim(5 * kPage), IsOk());
  EXPECT_TRUE(templates_->find(shape()).has_value());
  EXPECT_FALSE(templates_->find(shape("other")).has_value());
}

TEST_F(TemplatesTest, IsRemovedByItsKey) {
  make();
  EXPECT_THAT(templates_->remove("../state"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(templates_->remove("0000000000000000"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(templates_->remove(shape().key()), IsOk());
  EXPECT_THAT(templates_->list(), IsOkAnd(IsEmpty()));
}

TEST_F(TemplatesTest, WithoutADirectoryThereAreNone) {
  EXPECT_THAT(templates_->list(), IsOkAnd(IsEmpty()));
}

}  // namespace
}  // namespace bulkhead::runtime
