#include "bulkhead/guest/program.h"

#include <cerrno>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/guest/test_root.h"

namespace bulkhead::guest {
namespace {

using ::testing::HasSubstr;

class Programs : public ::testing::Test {
 protected:
  Programs() {
    root_.write("a/tool", "", 0644);
    root_.write("b/tool", "", 0755);
    root_.write("b/plain", "", 0644);
    root_.directory("a/dir");
  }

  ProgramFailure path_failure(const std::string& inside) const {
    return find_program(root_.path(inside), "").failure;
  }

  TestRoot root_;
};

TEST_F(Programs, SearchPassesOverWhatCannotRun) {
  const auto found =
      find_program("tool", root_.path("none") + ":" + root_.path("a") + ":" + root_.path("b"));
  EXPECT_EQ(found.failure, ProgramFailure::None);
  EXPECT_EQ(found.path, root_.path("b/tool"));
}

TEST_F(Programs, NothingFoundInPathIs127) {
  for (const char* name : {"plain", "dir", "absent"}) {
    const auto found = find_program(name, root_.path("a") + ":" + root_.path("b"));
    EXPECT_EQ(found.failure, ProgramFailure::NotFound) << name;
    EXPECT_THAT(found.message, HasSubstr("executable file not found in $PATH"));
  }
  EXPECT_EQ(find_program("tool", "").failure, ProgramFailure::NotFound);
  EXPECT_EQ(find_program("", "/bin").failure, ProgramFailure::NotFound);
}

TEST_F(Programs, PathTellsWhy) {
  EXPECT_EQ(path_failure("b/tool"), ProgramFailure::None);
  EXPECT_EQ(path_failure("b/absent"), ProgramFailure::NotFound);
  EXPECT_EQ(path_failure("b/tool/x"), ProgramFailure::NotFound);
  EXPECT_EQ(path_failure("a/dir"), ProgramFailure::NotExecutable);
  EXPECT_EQ(path_failure("b/plain"), ProgramFailure::NotExecutable);
  EXPECT_THAT(find_program(root_.path("a/dir"), "").message, HasSubstr("is a directory"));
  EXPECT_THAT(find_program(root_.path("b/plain"), "").message, HasSubstr("permission denied"));
}

TEST(ExecFailure, TellsApart) {
  const auto explain = [](int error) {
    return explain_exec_failure("/x", Error::from_errno(error, "exec")).failure;
  };
  EXPECT_EQ(explain(ENOENT), ProgramFailure::NotFound);
  EXPECT_EQ(explain(ENOEXEC), ProgramFailure::NotExecutable);
  EXPECT_EQ(explain(EACCES), ProgramFailure::NotExecutable);
  EXPECT_EQ(explain(ELOOP), ProgramFailure::NotExecutable);
  EXPECT_EQ(explain(E2BIG), ProgramFailure::NotExecutable);
}

TEST(ExecFailure, QuotesStrangersText) {
  EXPECT_THAT(find_program("a\nb\x1b[31m", "/bin").message, HasSubstr("a\\x0ab"));
}

}  // namespace
}  // namespace bulkhead::guest
