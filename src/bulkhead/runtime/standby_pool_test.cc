#include "bulkhead/runtime/standby_pool.h"

#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_watch.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {
namespace {

const std::string kFirst(64, 'a');
const std::string kSecond = "b" + std::string(63, 'c');

class StandbyPoolTest : public ::testing::Test {
 protected:
  StandbyPoolTest()
      : directory_(::testing::TempDir() + "bulkhead-standby-" + std::to_string(::getpid())),
        paths_{
            .state = directory_ + "/state", .run = directory_ + "/run", .libexec = {}, .share = {}},
        pool_(paths_) {
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
    EXPECT_THAT(options_.settle(), IsOk());
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  /// What a shim of that id, which lives as long as the lock, has beside it.
  os::FileLock make(const std::string& id) {
    for (const char* stage : {"making", "ready", "taken"}) {
      EXPECT_THAT(os::make_directories(paths_.standby() + "/" + stage), IsOk());
    }
    EXPECT_THAT(os::write_file_atomically(pool_.making_file(id), json::write(options_.to_json())),
                IsOk());
    EXPECT_THAT(os::make_directories(paths_.container_run(id)), IsOk());
    return *os::FileLock::acquire(paths_.container_run(id) + "/lock");
  }

  std::string directory_;
  config::Paths paths_;
  StandbyPool pool_;
  ContainerOptions options_;
};

TEST_F(StandbyPoolTest, WithoutOneNothingIsTakenAndNothingMade) {
  EXPECT_EQ(pool_.take(options_), std::nullopt);
  EXPECT_FALSE(pool_.is_in_use());
  EXPECT_THAT(pool_.list(), IsOkAnd(::testing::IsEmpty()));
  EXPECT_FALSE(os::path_exists(directory_));
  EXPECT_EQ(pool_.until_quiet().count(), 0);
}

TEST_F(StandbyPoolTest, OneIsTakenOnceAndOnlyWhenItIsReady) {
  const os::FileLock shim = make(kFirst);
  EXPECT_EQ(pool_.take(options_), std::nullopt);
  ASSERT_THAT(pool_.options_of(kFirst), IsOk());
  EXPECT_TRUE(is_same_machine(*pool_.options_of(kFirst), options_));
  ASSERT_THAT(pool_.announce(kFirst), IsOk());
  EXPECT_TRUE(os::path_exists(pool_.waiting_file(kFirst)));
  EXPECT_EQ(pool_.take(options_), kFirst);
  EXPECT_TRUE(pool_.is_taken(kFirst));
  EXPECT_EQ(pool_.take(options_), std::nullopt);
  pool_.forget(kFirst);
  EXPECT_FALSE(pool_.is_taken(kFirst));
}

TEST_F(StandbyPoolTest, AnotherMachineIsNotTaken) {
  const os::FileLock shim = make(kFirst);
  ASSERT_THAT(pool_.announce(kFirst), IsOk());
  ContainerOptions other = options_;
  other.vcpus = options_.vcpus + 1;
  EXPECT_EQ(pool_.take(other), std::nullopt);
  other = options_;
  other.network = "none";
  EXPECT_EQ(pool_.take(other), std::nullopt);
  // Memory is rounded up to a machine's.
  other = options_;
  other.memory_bytes = options_.memory_bytes - (100U << 20U);
  EXPECT_EQ(pool_.take(other), kFirst);
}

TEST_F(StandbyPoolTest, WhatIsLeftOfAKilledOneIsNotTakenAndNotListed) {
  {
    const os::FileLock shim = make(kFirst);
    ASSERT_THAT(pool_.announce(kFirst), IsOk());
    ASSERT_THAT(pool_.list(), IsOk());
    EXPECT_EQ(pool_.list()->size(), 1U);
    EXPECT_TRUE(pool_.list()->front().is_ready);
  }
  EXPECT_EQ(pool_.take(options_), std::nullopt);
  EXPECT_FALSE(pool_.is_taken(kFirst));
  EXPECT_THAT(pool_.list(), IsOkAnd(::testing::IsEmpty()));
}

TEST_F(StandbyPoolTest, WhatIsNoneOfOursIsRemoved) {
  const os::FileLock shim = make(kFirst);
  ASSERT_THAT(os::write_file_atomically(pool_.waiting_file(kSecond), "{\"vcpus\": -1}"), IsOk());
  EXPECT_EQ(pool_.take(options_), std::nullopt);
  EXPECT_FALSE(os::path_exists(pool_.waiting_file(kSecond)));
}

TEST_F(StandbyPoolTest, OneIsRemovedByTheBeginningOfItsId) {
  os::FileLock first = make(kFirst);
  const os::FileLock second = make(kSecond);
  EXPECT_THAT(pool_.remove("d"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(pool_.remove(""), IsError(ErrorCode::NotFound));
  {
    // As its shim does: it lets go when it is not wanted any more.
    const os::UniqueFd watch = *os::watch_removal(pool_.making_file(kFirst));
    const std::jthread shim([&watch, lock = std::move(first)] {
      EXPECT_THAT(os::wait_readable(watch.get(), std::chrono::seconds(10)), IsOkAnd(true));
    });
    EXPECT_THAT(pool_.remove("aa"), IsOk());
  }
  EXPECT_THAT(pool_.announce(kFirst), IsError(ErrorCode::NotFound));
  ASSERT_EQ(pool_.list()->size(), 1U);
  EXPECT_EQ(pool_.list()->front().id, kSecond);
  EXPECT_FALSE(pool_.list()->front().is_ready);
}

TEST_F(StandbyPoolTest, AStartPutsTheNextOneOff) {
  const os::FileLock shim = make(kFirst);
  EXPECT_EQ(pool_.take(options_), std::nullopt);
  EXPECT_GT(pool_.until_quiet().count(), 0);
  EXPECT_LE(pool_.until_quiet(), std::chrono::seconds(1));
}

TEST_F(StandbyPoolTest, AFailureIsKeptUntilOneIsReady) {
  const os::FileLock shim = make(kFirst);
  pool_.fail_to_stand_by(kFirst, {ErrorCode::NotFound, "no template"});
  EXPECT_EQ(pool_.last_failure(), "no template");
  const os::FileLock next = make(kSecond);
  ASSERT_THAT(pool_.announce(kSecond), IsOk());
  EXPECT_EQ(pool_.last_failure(), "");
}

TEST(CanTakeStandby, NotWithWhatBelongsToTheMachine) {
  ContainerOptions options;
  oci::Spec spec = oci::default_spec();
  EXPECT_TRUE(can_take_standby(options, spec));
  options.cold = true;
  EXPECT_FALSE(can_take_standby(options, spec));
  options = {};
  options.kernel_path = "/boot/vmlinux";
  EXPECT_FALSE(can_take_standby(options, spec));
  options = {};
  spec.mounts.push_back({.destination = "/data", .type = "bind", .source = "/srv", .options = {}});
  EXPECT_FALSE(can_take_standby(options, spec));
}

}  // namespace
}  // namespace bulkhead::runtime
