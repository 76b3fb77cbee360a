#include "bulkhead/cli/candidates.h"

#include <unistd.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/templates.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/testing.h"

namespace bulkhead::cli {
namespace {

using program::Candidate;
using runtime::ContainerStatus;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

auto word(const std::string& word, const std::string& description) {
  return AllOf(Field(&Candidate::word, word), Field(&Candidate::description, description));
}

class CandidatesTest : public ::testing::Test {
 protected:
  CandidatesTest()
      : directory_(::testing::TempDir() + "bulkhead-candidates-" + std::to_string(::getpid())),
        paths_{.state = directory_ + "/state",
               .run = directory_ + "/run",
               .libexec = "/x",
               .share = "/x"} {
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  [[nodiscard]] std::vector<Candidate> ask(const std::string& command,
                                           const std::string& placeholder,
                                           const std::string& beginning = "") const {
    return candidates(paths_,
                      {.command = command, .placeholder = placeholder, .beginning = beginning});
  }

  [[nodiscard]] std::vector<std::string> words(const std::string& command,
                                               const std::string& placeholder,
                                               const std::string& beginning = "") const {
    std::vector<std::string> list;
    for (const Candidate& candidate : ask(command, placeholder, beginning)) {
      list.push_back(candidate.word);
    }
    return list;
  }

  /// Its id.
  std::string make_container(const std::string& name, ContainerStatus status) {
    auto store = runtime::ContainerStore::open(paths_);
    EXPECT_THAT(store, IsOk());
    runtime::ContainerRecord record;
    record.name = name;
    record.image = "docker.io/library/alpine:3";
    record.root = "/roots/x.ext4";
    oci::Spec spec = oci::default_spec();
    spec.process->args = {"true"};
    const auto made = store->create(std::move(record), spec);
    EXPECT_THAT(made, IsOk());
    runtime::ContainerState state;
    state.status = status;
    EXPECT_THAT(
        store->save_state(made->id, state, runtime::ContainerStore::Durability::UntilReboot),
        IsOk());
    return made->id;
  }

  std::string directory_;
  config::Paths paths_;
};

TEST_F(CandidatesTest, ContainersAreThoseThatTheCommandHasAUseFor) {
  make_container("web", ContainerStatus::Running);
  make_container("done", ContainerStatus::Stopped);
  make_container("new", ContainerStatus::Created);
  for (const char* command : {"exec", "kill", "stats", "stop", "wait"}) {
    EXPECT_THAT(words(command, "CONTAINER"), ElementsAre("web")) << command;
  }
  EXPECT_THAT(words("start", "CONTAINER"), ElementsAre("done", "new"));
  EXPECT_THAT(words("rm", "CONTAINER"), ElementsAre("web", "done", "new"));
  EXPECT_THAT(ask("logs", "CONTAINER"),
              ElementsAre(word("web", "alpine:3, running"), word("done", "alpine:3, stopped"),
                          word("new", "alpine:3, created")));
}

TEST_F(CandidatesTest, AnIdIsOfferedToWhoHasBegunOne) {
  const std::string id = make_container("web", ContainerStatus::Running);
  EXPECT_THAT(words("rm", "CONTAINER", id.substr(0, 3)), ElementsAre("web", id.substr(0, 12)));
  EXPECT_THAT(words("rm", "CONTAINER", id.substr(0, 20)), ElementsAre("web", id.substr(0, 20)));
  EXPECT_THAT(words("rm", "CONTAINER", "web"), ElementsAre("web"));
}

TEST_F(CandidatesTest, WhatCannotBeReadIsLeftOut) {
  const std::string id = make_container("web", ContainerStatus::Running);
  make_container("db", ContainerStatus::Running);
  ASSERT_THAT(os::write_file_atomically(paths_.container_state(id) + "/container.json", "nonsense"),
              IsOk());
  EXPECT_THAT(words("stop", "CONTAINER"), ElementsAre("db"));
  ASSERT_THAT(os::write_file_atomically(paths_.images_database(), "nonsense"), IsOk());
  EXPECT_THAT(words("run", "IMAGE"), IsEmpty());
}

TEST_F(CandidatesTest, ImagesAreNamedAsPeopleNameThem) {
  ASSERT_THAT(os::make_directories(paths_.state), IsOk());
  auto catalog = store::Catalog::open(paths_.images_database());
  ASSERT_THAT(catalog, IsOk());
  for (const char* reference : {"docker.io/library/alpine:3", "quay.io/team/app:1"}) {
    ASSERT_THAT(catalog->put(store::test_image(reference), {}, {}), IsOk());
  }
  EXPECT_THAT(ask("run", "IMAGE"), UnorderedElementsAre(word("alpine:3", "61.3 MB"),
                                                        word("quay.io/team/app:1", "61.3 MB")));
}

TEST_F(CandidatesTest, TemplatesAreToldApartByWhatTheyAreFor) {
  const runtime::TemplateShape shape = {
      .text = "shape", .vcpus = 2, .memory_bytes = 512'000'000, .has_network = false};
  {
    auto draft = runtime::Templates(paths_).begin(shape);
    ASSERT_THAT(draft, IsOk());
    ASSERT_TRUE(draft->has_value());
    const auto files = (*draft)->files();
    ASSERT_THAT(files, IsOk());
    ASSERT_THAT(os::pwrite_all(files->memory.get(), as_bytes("kernel"), 0), IsOk());
    ASSERT_THAT((*draft)->commit(), IsOk());
  }
  EXPECT_THAT(ask("system template rm", "TEMPLATE"),
              ElementsAre(word(shape.key(), "2 CPUs, 512 MB, no network")));
}

TEST_F(CandidatesTest, NetworksAreThoseThereAreAndForContainersWhatTheyCanHave) {
  EXPECT_THAT(words("run", "NETWORK"), ElementsAre("bulkhead", "none"));
  EXPECT_THAT(words("network rm", "NETWORK"), IsEmpty());
}

TEST_F(CandidatesTest, SignalsAreNames) {
  EXPECT_THAT(words("kill", "SIGNAL"), AllOf(Contains("TERM"), Contains("KILL")));
}

TEST_F(CandidatesTest, OtherPlaceholdersAreNotThisProgramsBusiness) {
  make_container("web", ContainerStatus::Running);
  EXPECT_THAT(words("run", "SIZE"), IsEmpty());
  EXPECT_THAT(words("run", ""), IsEmpty());
}

TEST_F(CandidatesTest, NothingIsMadeByLooking) {
  for (const char* placeholder : {"CONTAINER", "IMAGE", "NETWORK", "TEMPLATE", "SIGNAL"}) {
    std::ignore = ask("rm", placeholder);
  }
  EXPECT_FALSE(os::path_exists(directory_));
}

}  // namespace
}  // namespace bulkhead::cli
