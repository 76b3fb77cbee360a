#include "bulkhead/db/database.h"

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::db {
namespace {

constexpr std::array<std::string_view, 1> kFirst = {
    "CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER)"};
constexpr std::array<std::string_view, 2> kSecond = {kFirst[0], "ALTER TABLE t ADD COLUMN w TEXT"};

class DatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "bulkhead-db-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  [[nodiscard]] std::string path() const { return directory_ + "/test.db"; }

  std::string directory_;
};

std::int64_t count(Database& database) {
  auto statement = database.prepare("SELECT count(*) FROM t").value();
  EXPECT_THAT(statement.step(), IsOkAnd(true));
  return statement.integer(0);
}

TEST_F(DatabaseTest, BindsAndReadsBack) {
  auto database = Database::open(path(), kFirst);
  ASSERT_THAT(database, IsOk());
  auto insert = database->prepare("INSERT INTO t VALUES (?, ?)");
  ASSERT_THAT(insert, IsOk());
  EXPECT_THAT(insert->bind(1, "a'b").bind(2, std::int64_t{7}).run(), IsOk());
  EXPECT_THAT(insert->bind(1, "c").bind_null(2).run(), IsOk());
  auto select = database->prepare("SELECT k, v FROM t ORDER BY k");
  ASSERT_THAT(select, IsOk());
  ASSERT_THAT(select->step(), IsOkAnd(true));
  EXPECT_EQ(select->text(0), "a'b");
  EXPECT_EQ(select->integer(1), 7);
  ASSERT_THAT(select->step(), IsOkAnd(true));
  EXPECT_TRUE(select->is_null(1));
  EXPECT_THAT(select->step(), IsOkAnd(false));
}

TEST_F(DatabaseTest, OneThatIsThereIsLookedAtAndNotTouched) {
  EXPECT_THAT(Database::open_existing(path(), 1), IsError(ErrorCode::NotFound));
  EXPECT_FALSE(os::path_exists(path()));
  {
    auto database = Database::open(path(), kFirst);
    ASSERT_THAT(database, IsOk());
    EXPECT_THAT(database->execute("INSERT INTO t VALUES ('a', 1)"), IsOk());
  }
  EXPECT_THAT(Database::open_existing(path(), 2), IsError(ErrorCode::FailedPrecondition));
  {
    auto database = Database::open_existing(path(), 1);
    ASSERT_THAT(database, IsOk());
    EXPECT_EQ(count(*database), 1);
    EXPECT_THAT(database->execute("DELETE FROM t"), IsError(ErrorCode::PermissionDenied));
  }
  EXPECT_THAT(os::list_directory(directory_), IsOkAnd(::testing::ElementsAre("test.db")));
}

TEST_F(DatabaseTest, ConstraintsAreToldApart) {
  constexpr std::array<std::string_view, 1> kConstrained = {
      "CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER UNIQUE);"
      "CREATE TABLE u (k TEXT REFERENCES t (k), v INTEGER NOT NULL CHECK (v > 0))"};
  auto database = Database::open(path(), kConstrained);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT(database->execute("INSERT INTO t VALUES ('a', 1)"), IsOk());
  EXPECT_THAT(database->execute("INSERT INTO t VALUES ('a', 2)"),
              IsError(ErrorCode::AlreadyExists));
  EXPECT_THAT(database->execute("INSERT INTO t VALUES ('b', 1)"),
              IsError(ErrorCode::AlreadyExists));
  EXPECT_THAT(database->execute("INSERT INTO u VALUES ('b', 1)"),
              IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(database->execute("INSERT INTO u VALUES ('a', NULL)"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(database->execute("INSERT INTO u VALUES ('a', 0)"), IsError(ErrorCode::Invalid));
}

TEST_F(DatabaseTest, AParameterThatIsNotThereFailsTheStep) {
  auto database = Database::open(path(), kFirst);
  ASSERT_THAT(database, IsOk());
  auto insert = database->prepare("INSERT INTO t VALUES (?, 1)");
  ASSERT_THAT(insert, IsOk());
  EXPECT_FALSE(insert->bind(1, "a").bind(2, "b").run().has_value());
  EXPECT_EQ(count(*database), 0);
  EXPECT_THAT(insert->bind(1, "a").run(), IsOk());
}

TEST_F(DatabaseTest, WhatCannotBeOpenedSaysWhy) {
  EXPECT_THAT(Database::open(directory_ + "/absent/test.db", kFirst), IsError(ErrorCode::NotFound));
  ASSERT_THAT(os::make_directories(path()), IsOk());
  const auto opened = Database::open(path(), kFirst);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().os_error(), EISDIR) << opened.error().message();
}

TEST_F(DatabaseTest, AFileThatCannotHaveAWriteAheadLogIsUnsupported) {
  // In a single process's memory there is no log to share.
  EXPECT_THAT(Database::open(":memory:", kFirst), IsError(ErrorCode::Unsupported));
  EXPECT_THAT(os::remove_file(":memory:"), IsOk());
}

TEST_F(DatabaseTest, ATransactionIsUndoneUnlessCommitted) {
  auto database = Database::open(path(), kFirst);
  ASSERT_THAT(database, IsOk());
  {
    auto transaction = Transaction::begin(*database);
    ASSERT_THAT(transaction, IsOk());
    EXPECT_THAT(database->execute("INSERT INTO t VALUES ('a', 1)"), IsOk());
  }
  EXPECT_EQ(count(*database), 0);
  auto transaction = Transaction::begin(*database);
  ASSERT_THAT(transaction, IsOk());
  EXPECT_THAT(database->execute("INSERT INTO t VALUES ('a', 1)"), IsOk());
  EXPECT_THAT(std::move(*transaction).commit(), IsOk());
  EXPECT_EQ(count(*database), 1);
}

TEST_F(DatabaseTest, MigratesForwardAndRefusesTheFuture) {
  {
    ASSERT_THAT(Database::open(path(), kFirst), IsOk());
  }
  {
    auto database = Database::open(path(), kSecond);
    ASSERT_THAT(database, IsOk());
    EXPECT_THAT(database->execute("INSERT INTO t VALUES ('a', 1, 'w')"), IsOk());
  }
  EXPECT_THAT(Database::open(path(), kFirst), IsError(ErrorCode::FailedPrecondition));
}

TEST_F(DatabaseTest, ALockedFileIsUnavailableAfterTheTimeout) {
  auto holder = Database::open(path(), kFirst);
  auto other = Database::open(path(), kFirst, {.busy_timeout = std::chrono::milliseconds(1)});
  ASSERT_THAT(holder, IsOk());
  ASSERT_THAT(other, IsOk());
  const auto transaction = Transaction::begin(*holder);
  ASSERT_THAT(transaction, IsOk());
  EXPECT_THAT(Transaction::begin(*other), IsError(ErrorCode::Unavailable));
}

TEST_F(DatabaseTest, WhatIsNoDatabaseIsCorrupt) {
  ASSERT_THAT(os::write_file_atomically(path(), std::string(4096, 'x')), IsOk());
  EXPECT_THAT(Database::open(path(), kFirst), IsError(ErrorCode::Corrupt));
}

/// Another process, for locks are a process's; it is there before SQLite is used in this one. It
/// looks into the database, and closes it, as often as it is asked.
class Other {
 public:
  explicit Other(const std::string& path) {
    auto [ours, theirs] = os::make_socket_pair().value();
    pid_ = ::fork();
    if (pid_ == 0) {
      ours.reset();
      std::array<std::byte, 1> rows{};
      while (os::read_some(theirs.get(), rows).value() == rows.size()) {
        auto database = Database::open(path, kFirst).value();
        rows[0] = static_cast<std::byte>(count(database));
        {
          const Database closed = std::move(database);
        }
        std::ignore = os::write_all(theirs.get(), rows);
      }
      ::_exit(0);
    }
    channel_ = std::move(ours);
  }

  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;

  ~Other() {
    channel_.reset();
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] int rows() const {
    std::array<std::byte, 1> answer{};
    EXPECT_THAT(os::write_all(channel_.get(), answer), IsOk());
    EXPECT_THAT(os::read_some(channel_.get(), answer), IsOkAnd(answer.size()));
    return static_cast<int>(answer[0]);
  }

 private:
  pid_t pid_ = -1;
  os::UniqueFd channel_;
};

TEST_F(DatabaseTest, WhoMadeTheFileKeepsItsLocks) {
  const Other other(path());
  auto database = Database::open(path(), kFirst).value();
  // The last to close takes the log away, if it knows of nobody else.
  EXPECT_EQ(other.rows(), 0);
  ASSERT_THAT(database.execute("INSERT INTO t VALUES ('k', 1)"), IsOk());
  EXPECT_EQ(other.rows(), 1);
}

TEST_F(DatabaseTest, TheFileIsPrivate) {
  ASSERT_THAT(Database::open(path(), kFirst), IsOk());
  struct stat info{};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

}  // namespace
}  // namespace bulkhead::db
