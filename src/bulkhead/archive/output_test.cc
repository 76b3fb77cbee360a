#include "bulkhead/archive/output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/file.h"

namespace bulkhead::archive {
namespace {

using ::testing::ElementsAre;

class OutputTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_THAT(os::make_directories(directory_), IsOk()); }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  std::string directory_ = ::testing::TempDir() + "bulkhead-output-" + std::to_string(::getpid());
  std::string path_ = directory_ + "/a.tar";
};

Result<> write_some(Writer& to) { return to.write(as_bytes("some")); }

TEST_F(OutputTest, ReplacesWhatIsThereWhenItIsWhole) {
  ASSERT_THAT(os::write_file_atomically(path_, "before"), IsOk());
  ASSERT_THAT(write_output(path_,
                           [&](Writer& to) -> Result<> {
                             EXPECT_THAT(os::read_file(path_), IsOkAnd("before"));
                             return write_some(to);
                           }),
              IsOk());
  EXPECT_THAT(os::read_file(path_), IsOkAnd("some"));
  EXPECT_THAT(os::list_directory(directory_), IsOkAnd(ElementsAre("a.tar")));
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
}

TEST_F(OutputTest, KeepsWhatIsThereWhenTheWriterFails) {
  ASSERT_THAT(os::write_file_atomically(path_, "before"), IsOk());
  EXPECT_THAT(write_output(path_,
                           [](Writer& to) -> Result<> {
                             BH_TRY(write_some(to));
                             return fail(ErrorCode::Corrupt, "wrong");
                           }),
              IsError(ErrorCode::Corrupt));
  EXPECT_THAT(os::read_file(path_), IsOkAnd("before"));
  EXPECT_THAT(os::list_directory(directory_), IsOkAnd(ElementsAre("a.tar")));
}

TEST_F(OutputTest, WritesToWhatIsNoFileAsItIs) {
  ASSERT_EQ(::symlink("/dev/null", path_.c_str()), 0);
  ASSERT_THAT(write_output(path_, write_some), IsOk());
  EXPECT_THAT(os::read_link(path_), IsOkAnd("/dev/null"));
  EXPECT_THAT(write_output(directory_, write_some), IsError(ErrorCode::Invalid));
  EXPECT_THAT(write_output("/dev/full", write_some), IsError(ErrorCode::NoSpace));
}

}  // namespace
}  // namespace bulkhead::archive
