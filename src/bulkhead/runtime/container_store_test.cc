#include "bulkhead/runtime/container_store.h"

#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/runtime/container_record.h"

namespace bulkhead::runtime {
namespace {

using Durability = ContainerStore::Durability;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ContainerStoreTest : public ::testing::Test {
 protected:
  ContainerStoreTest()
      : directory_(::testing::TempDir() + "bulkhead-store-" + std::to_string(::getpid())),
        store_((std::ignore = os::remove_tree(directory_),
                *ContainerStore::open(config::Paths{.state = directory_ + "/state",
                                                    .run = directory_ + "/run",
                                                    .libexec = "/x",
                                                    .share = "/x"}))) {
    spec_.process->args = {"true"};
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  ContainerRecord create(const std::string& name = "", bool auto_remove = false) {
    ContainerRecord record;
    record.name = name;
    record.root = "/roots/x.ext4";
    record.auto_remove = auto_remove;
    return *store_.create(std::move(record), spec_);
  }

  void set_state(const std::string& id, ContainerStatus status, int shim_pid = 99) {
    ContainerState state;
    state.status = status;
    state.shim_pid = shim_pid;
    state.address = "10.79.0.2";
    ASSERT_THAT(store_.save_state(id, state, Durability::UntilReboot), IsOk());
  }

  std::vector<std::string> reap() {
    released_.clear();
    return *store_.reap_dead([this](const std::string& id) { released_.push_back(id); });
  }

  std::string directory_;
  ContainerStore store_;
  oci::Spec spec_ = oci::default_spec();
  std::vector<std::string> released_;
};

TEST_F(ContainerStoreTest, OptionsChangeAndTheRestStays) {
  const ContainerRecord record = create("web");
  EXPECT_THAT(store_.change_options(record.id, [](auto& o) { o.memory_bytes = (77 << 20) + 1; }),
              IsOk());
  const auto changed = store_.find("web");
  ASSERT_THAT(changed, IsOk());
  EXPECT_EQ(changed->record.options.memory_bytes, 78 << 20);
  EXPECT_EQ(changed->record.created, record.created);
  EXPECT_EQ(changed->record.options.scratch_path, record.options.scratch_path);
  // What no machine can be made with is not written.
  EXPECT_THAT(store_.change_options(record.id, [](auto& o) { o.memory_bytes = 1; }),
              IsError(ErrorCode::Invalid));
  EXPECT_EQ(store_.find("web")->record.options.memory_bytes, 78 << 20);
  EXPECT_THAT(store_.change_options(std::string(64, 'a'), [](auto&) {}),
              IsError(ErrorCode::NotFound));
  EXPECT_FALSE(os::path_exists(store_.bundle(std::string(64, 'a'))));
}

TEST_F(ContainerStoreTest, CreatesWhatIsMissing) {
  const ContainerRecord record = create();
  EXPECT_EQ(record.id.size(), 64);
  EXPECT_FALSE(record.name.empty());
  EXPECT_TRUE(record.options.managed);
  const auto found = store_.find(record.name);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->record.id, record.id);
  EXPECT_EQ(found->record.options, record.options);
  EXPECT_EQ(found->state.status, ContainerStatus::Created);
  EXPECT_EQ(found->record.options.log_path, store_.log_path(record.id));
  EXPECT_TRUE(os::path_exists(store_.bundle(record.id) + "/config.json"));
}

TEST_F(ContainerStoreTest, ANameIsOnesOwn) {
  const ContainerRecord first = create("web");
  ContainerRecord second;
  second.name = "web";
  EXPECT_THAT(store_.create(second, spec_), IsError(ErrorCode::AlreadyExists));
  EXPECT_THAT(store_.remove(first.id), IsOk());
  EXPECT_THAT(store_.create(second, spec_), IsOk());
}

TEST_F(ContainerStoreTest, RefusesBadNames) {
  for (const std::string name : {"../x", "a/b", "-x", "a b"}) {
    ContainerRecord record;
    record.name = name;
    EXPECT_THAT(store_.create(record, spec_), IsError(ErrorCode::Invalid)) << name;
  }
  for (const std::string name : {"../x", "a/b", "", "no-such"}) {
    EXPECT_THAT(store_.find(name), IsError(ErrorCode::NotFound)) << name;
  }
}

TEST_F(ContainerStoreTest, FindsByPrefixWhenItIsOnesOwn) {
  const std::string tail(60, '0');
  for (const std::string head : {"abc1", "abd1"}) {
    ContainerRecord record;
    record.id = head + tail;
    ASSERT_THAT(store_.create(record, spec_), IsOk());
  }
  EXPECT_EQ(store_.find("abc")->record.id, "abc1" + tail);
  EXPECT_THAT(store_.find("ab"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(store_.find("ff"), IsError(ErrorCode::NotFound));
}

TEST_F(ContainerStoreTest, ListsInOrderOfCreation) {
  const ContainerRecord first = create("one");
  const ContainerRecord second = create("two");
  const auto list = store_.list();
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->size(), 2);
  EXPECT_EQ((*list)[0].record.name, "one");
  EXPECT_EQ((*list)[1].record.name, "two");
}

TEST_F(ContainerStoreTest, DamageIsNamedAndPassedOverInLists) {
  const ContainerRecord record = create("web");
  ASSERT_THAT(os::write_file_atomically(store_.bundle(record.id) + "/container.json", "{"), IsOk());
  EXPECT_THAT(store_.find("web"), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(store_.list(), IsOkAnd(IsEmpty()));
}

TEST_F(ContainerStoreTest, StateComesBack) {
  const ContainerRecord record = create();
  ContainerState state;
  state.status = ContainerStatus::Stopped;
  state.shim_pid = 5;
  state.vm_pid = 6;
  state.started_at = WallTime(std::chrono::nanoseconds(1'700'000'000'123'456'789));
  state.exit_code = 137;
  state.error = "why \"not\"";
  state.oom_killed = true;
  state.warm = true;
  state.standby = true;
  state.network = "bulkhead";
  ASSERT_THAT(store_.save_state(record.id, state, Durability::Durable), IsOk());
  const auto read = store_.load_state(record.id);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->status, state.status);
  EXPECT_EQ(read->started_at, state.started_at);
  EXPECT_EQ(read->finished_at, std::nullopt);
  EXPECT_EQ(read->exit_code, 137);
  EXPECT_EQ(read->error, state.error);
  EXPECT_TRUE(read->oom_killed);
  EXPECT_TRUE(read->warm);
  EXPECT_TRUE(read->standby);
}

TEST_F(ContainerStoreTest, AContainerWithAShimIsNotRemoved) {
  const ContainerRecord record = create("web");
  {
    const auto lock = *store_.try_lock(record.id);
    ASSERT_TRUE(lock.has_value());
    EXPECT_TRUE(store_.has_shim(record.id));
    EXPECT_FALSE((*store_.try_lock(record.id)).has_value());
    EXPECT_THAT(store_.remove(record.id), IsError(ErrorCode::FailedPrecondition));
    EXPECT_THAT(store_.lock(record.id, milliseconds(5)), IsError(ErrorCode::Timeout));
    EXPECT_THAT(store_.wait_for_end(record.id, milliseconds(5)), IsError(ErrorCode::Timeout));
  }
  EXPECT_FALSE(store_.has_shim(record.id));
  EXPECT_THAT(store_.wait_for_end(record.id, milliseconds(5)), IsOk());
  EXPECT_THAT(store_.remove(record.id), IsOk());
  EXPECT_THAT(store_.find("web"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(store_.try_lock(record.id), IsError(ErrorCode::NotFound));
  EXPECT_FALSE(os::path_exists(store_.bundle(record.id)));
  EXPECT_FALSE(os::path_exists(store_.paths().container_run(record.id)));
  EXPECT_THAT(store_.remove(record.id), IsOk());
}

TEST_F(ContainerStoreTest, ReapsWhatLostItsShim) {
  const ContainerRecord record = create("web");
  set_state(record.id, ContainerStatus::Running);
  EXPECT_THAT(reap(), ElementsAre(record.id));
  EXPECT_THAT(released_, ElementsAre(record.id));
  const ContainerState state = *store_.load_state(record.id);
  EXPECT_EQ(state.status, ContainerStatus::Stopped);
  EXPECT_EQ(state.exit_code, 137);
  EXPECT_EQ(state.error, "the shim was killed");
  EXPECT_EQ(state.address, "");
  EXPECT_FALSE(os::path_exists(store_.paths().container_run(record.id)));
  EXPECT_THAT(reap(), IsEmpty());
}

TEST_F(ContainerStoreTest, LeavesTheLivingAndTheNeverStartedAlone) {
  const ContainerRecord living = create("living");
  set_state(living.id, ContainerStatus::Running);
  const auto lock = *store_.try_lock(living.id);
  const ContainerRecord fresh = create("fresh");
  const ContainerRecord stopped = create("stopped");
  set_state(stopped.id, ContainerStatus::Stopped);
  EXPECT_THAT(reap(), IsEmpty());
  EXPECT_EQ(store_.load_state(living.id)->status, ContainerStatus::Running);
}

TEST_F(ContainerStoreTest, ReapsAContainerInTheMaking) {
  const ContainerRecord record = create();
  set_state(record.id, ContainerStatus::Created, 77);
  EXPECT_THAT(reap(), ElementsAre(record.id));
}

TEST_F(ContainerStoreTest, RemovesWhatAPowerCutLeftOfAContainer) {
  const std::string torn = create("torn").id;
  ASSERT_THAT(os::write_file_atomically(store_.bundle(torn) + "/container.json", ""), IsOk());
  const std::string bare = create("bare").id;
  ASSERT_THAT(os::remove_file(store_.bundle(bare) + "/container.json"), IsOk());
  create("whole");
  EXPECT_THAT(store_.reap_dead({}), IsOkAnd(UnorderedElementsAre(torn, bare)));
  EXPECT_FALSE(os::path_exists(store_.bundle(torn)));
  EXPECT_FALSE(os::path_exists(store_.bundle(bare)));
  EXPECT_THAT(store_.find("whole"), IsOk());
  create("torn");  // the name is free
}

TEST_F(ContainerStoreTest, RemovesTheTransientWhoseShimWasKilled) {
  const ContainerRecord record = create("brief", true);
  set_state(record.id, ContainerStatus::Running);
  EXPECT_THAT(reap(), ElementsAre(record.id));
  EXPECT_THAT(store_.find("brief"), IsError(ErrorCode::NotFound));
  EXPECT_FALSE(os::path_exists(store_.bundle(record.id)));
}

TEST_F(ContainerStoreTest, TheTransientIsGoneForAllButItsShim) {
  const ContainerRecord record = create("brief", true);
  const auto lock = *store_.try_lock(record.id);
  ASSERT_THAT(store_.remove_own(record.id), IsOk());
  EXPECT_THAT(store_.find("brief"), IsError(ErrorCode::NotFound));
  create("brief", true);
  EXPECT_TRUE(store_.has_shim(record.id));
  store_.remove_rest(record.id);
  ASSERT_THAT(store_.remove_run_directory(record.id), IsOk());
  EXPECT_FALSE(store_.has_shim(record.id));
}

TEST_F(ContainerStoreTest, AShimKilledWhileItRemovedIsCleanedUpAfter) {
  const ContainerRecord record = create("brief", true);
  {
    const auto lock = *store_.try_lock(record.id);
    ASSERT_THAT(store_.remove_own(record.id), IsOk());
  }
  EXPECT_THAT(reap(), ElementsAre(record.id));
  EXPECT_THAT(os::list_directory(store_.paths().state + "/trash"), IsOkAnd(IsEmpty()));
  EXPECT_FALSE(os::path_exists(store_.paths().container_run(record.id)));
}

}  // namespace
}  // namespace bulkhead::runtime
