// A container's life against a scripted host and a scripted guest.
#include "bulkhead/runtime/container.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/scripted_guest.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/process.h"
#include "bulkhead/runtime/scripted_host.h"
#include "bulkhead/runtime/standby.h"
#include "bulkhead/runtime/timing.h"
#include "bulkhead/ttrpc/service.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {
namespace {

using agent_client::ScriptedGuest;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ContainerTest : public ::testing::Test {
 protected:
  ContainerTest()
      : loop_(*os::EventLoop::create()),
        directory_(::testing::TempDir() + "bulkhead-container-" + std::to_string(::getpid())) {
    std::ignore = std::signal(SIGPIPE, SIG_IGN);
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
    EXPECT_THAT(os::make_directories(directory_), IsOk());
    EXPECT_THAT(os::write_file_atomically(directory_ + "/base.ext4", "image"), IsOk());
    EXPECT_THAT(os::make_fifo(directory_ + "/out"), IsOk());
    EXPECT_THAT(os::make_fifo(directory_ + "/in"), IsOk());
    config_.id = "c1";
    config_.bundle = directory_;
    config_.base_path = directory_ + "/base.ext4";
    config_.spec = oci::default_spec();
    config_.spec.process->args = {"/bin/sh"};
    EXPECT_THAT(config_.options.settle(), IsOk());
    timeouts_.boot = milliseconds(5000);
    timeouts_.cause = milliseconds(50);
    timeouts_.power_off = milliseconds(50);
    timeouts_.agent = {
        .start = milliseconds(500), .control = milliseconds(100), .shutdown = milliseconds(100)};
  }

  void TearDown() override {
    container_.reset();
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
  }

  Result<> create() {
    container_ = BH_TRY(Container::create(
        *loop_, host_, timing_, config_,
        {.on_started =
             [this](const Process& process) { events_.push_back("started " + process.id()); },
         .on_exited =
             [this](const Process& process) {
               events_.push_back("exited " + process.id() + " " +
                                 std::to_string(process.exit().status));
             },
         .on_out_of_memory = [this] { events_.emplace_back("oom"); },
         .on_gone = [this] { events_.emplace_back("gone"); }},
        timeouts_, std::move(standby_)));
    return {};
  }

  /// A machine waits for the container.
  void stand_by() {
    host_.has_template = true;
    bool is_ready = false;
    auto standby =
        Standby::create(*loop_, host_, config_.id, config_.options,
                        {.on_ready = [&] { is_ready = true; }, .on_lost = [](const Error&) {}});
    ASSERT_THAT(standby, IsOk());
    boot();
    until([&] { return is_ready; });
    standby_ = *std::move(standby);
  }

  void boot() {
    guest_ = std::make_unique<ScriptedGuest>(*loop_, std::move(host_.script->guest_end));
  }

  void start() {
    container_->start("", [this](const Result<>& result) {
      events_.emplace_back("answered");
      started_ = result;
    });
  }

  /// To the point where the first process runs.
  void run() {
    ASSERT_THAT(create(), IsOk());
    start();
    boot();
    until([this] { return started_.has_value() && guest_->waiting.contains(""); });
    ASSERT_THAT(*started_, IsOk());
  }

  void power_off_ends_the_machine() {
    guest_->on_shutdown = [this](auto respond) {
      respond(agent::v1::ShutdownResponse());
      loop_->post([this] {
        host_.script->exit(vmm::MachineExit::Cause::Shutdown, "the guest powered off");
      });
    };
  }

  void wait() {
    container_->wait("", [this](const Result<ExitRecord>& exit) {
      events_.emplace_back("told");
      waited_ = exit;
    });
  }

  void until_gone() {
    until([this] { return container_->is_gone(); });
  }

  std::uint32_t status(const std::string& id = "") {
    return (*container_->find(id))->exit().status;
  }

  template <class Condition>
  void until(Condition condition) {
    agent_client::run_until(*loop_, condition);
  }

  std::unique_ptr<os::EventLoop> loop_;
  std::string directory_;
  ScriptedHost host_;
  Timing timing_;
  ContainerConfig config_;
  ContainerTimeouts timeouts_;
  std::unique_ptr<ScriptedGuest> guest_;
  std::unique_ptr<Standby> standby_;
  std::unique_ptr<Container> container_;
  std::vector<std::string> events_;
  std::optional<Result<>> started_;
  std::optional<Result<ExitRecord>> waited_;
};

TEST_F(ContainerTest, LivesAndEndsInOrder) {
  run();
  power_off_ends_the_machine();
  wait();
  guest_->end("", 7);
  guest_->end_outputs();
  until_gone();
  EXPECT_THAT(events_, ElementsAre("started ", "answered", "exited  7", "told", "gone"));
  ASSERT_THAT(*waited_, IsOk());
  EXPECT_EQ((*waited_)->status, 7);
  EXPECT_TRUE(container_->cause().empty());
  EXPECT_THAT(host_.attached, ElementsAre("c1"));
  EXPECT_THAT(host_.detached, ElementsAre("c1"));
  EXPECT_EQ(container_->pid(), 4242);
}

TEST_F(ContainerTest, GivesTheMachineItsDevices) {
  ASSERT_THAT(create(), IsOk());
  const vmm::MachineConfig& machine = host_.script->config;
  ASSERT_EQ(machine.disks.size(), 2);
  EXPECT_EQ(machine.disks[0].serial, "base");
  EXPECT_EQ(machine.disks[0].access, vmm::Access::ReadOnly);
  EXPECT_EQ(machine.disks[1].serial, "scratch");
  EXPECT_EQ(machine.disks[1].access, vmm::Access::ReadWrite);
  ASSERT_TRUE(machine.network.has_value());
  EXPECT_EQ(machine.network->mac_address, "02:00:0a:4f:00:02");
  EXPECT_EQ(machine.memory_bytes, 1U << 30U);
}

TEST_F(ContainerTest, ThePlanCarriesTimeAndEntropy) {
  run();
  EXPECT_EQ(guest_->started->entropy().size(), 256);
  EXPECT_GT(guest_->started->clock().unix_nanoseconds(), 1'700'000'000'000'000'000);
  EXPECT_THAT(guest_->started->process().arguments(), ElementsAre("/bin/sh"));
}

TEST_F(ContainerTest, LeavesATemplateBehindUnlessItIsCold) {
  run();
  EXPECT_THAT(host_.origins, ElementsAre(Host::Origin::Template));
  EXPECT_EQ(host_.templates_left, 1);
  container_.reset();
  started_.reset();
  config_.options.cold = true;
  run();
  EXPECT_THAT(host_.origins, ElementsAre(Host::Origin::Template, Host::Origin::Boot));
  EXPECT_EQ(host_.templates_left, 1);
}

TEST_F(ContainerTest, TellsTheGuestWhichAddressItsDeviceHas) {
  host_.has_template = true;
  run();
  const agent::v1::Interface& interface = guest_->started->network().interfaces(0);
  EXPECT_EQ(interface.mac_address(), "02:00:0a:4f:00:02");
  EXPECT_EQ(interface.device_mac_address(), "02:00:00:00:00:01");
}

TEST_F(ContainerTest, BootsWhenItsTemplateDoesNotComeUp) {
  host_.has_template = true;
  ASSERT_THAT(create(), IsOk());
  start();
  const auto restored = host_.script;
  restored->exit(vmm::MachineExit::Cause::Failed, "load of migration failed");
  ASSERT_NE(host_.script, restored);
  EXPECT_THAT(host_.origins, ElementsAre(Host::Origin::Template, Host::Origin::Boot));
  EXPECT_FALSE(host_.has_template);
  EXPECT_EQ(host_.script->config.disks.size(), 2);
  EXPECT_TRUE(host_.script->config.network.has_value());
  boot();
  until([this] { return started_.has_value(); });
  EXPECT_THAT(*started_, IsOk());
  EXPECT_EQ(guest_->started->network().interfaces(0).device_mac_address(), "02:00:0a:4f:00:02");
  EXPECT_THAT(host_.attached, ElementsAre("c1"));
  EXPECT_TRUE(container_->cause().empty());
}

TEST_F(ContainerTest, BootsWhenTheGuestOfItsTemplateDoesNotAnswer) {
  host_.has_template = true;
  timeouts_.restore = milliseconds(50);
  ASSERT_THAT(create(), IsOk());
  start();
  const auto restored = host_.script;
  until([&] { return host_.script != restored; });
  EXPECT_FALSE(host_.has_template);
  boot();
  until([this] { return started_.has_value(); });
  EXPECT_THAT(*started_, IsOk());
}

TEST_F(ContainerTest, AMachineThatWasKilledIsNotItsTemplatesFault) {
  host_.has_template = true;
  ASSERT_THAT(create(), IsOk());
  host_.script->exit(vmm::MachineExit::Cause::Killed, "was killed by signal 9 (Killed)");
  EXPECT_THAT(host_.origins, ElementsAre(Host::Origin::Template, Host::Origin::Boot));
  EXPECT_TRUE(host_.has_template);
}

TEST_F(ContainerTest, KilledBeforeItsTemplateIsUpItStaysKilled) {
  host_.has_template = true;
  ASSERT_THAT(create(), IsOk());
  container_->kill("", SIGKILL, Container::KillScope::Process, [](const Result<>&) {});
  until_gone();
  EXPECT_THAT(host_.origins, ElementsAre(Host::Origin::Template));
  EXPECT_EQ(status(), 137);
}

TEST_F(ContainerTest, GoesOnWithAMachineThatStoodBy) {
  stand_by();
  const auto standing = host_.script;
  ASSERT_TRUE(guest_->rehearsed);
  EXPECT_THAT(guest_->rehearsed->process().arguments(), ElementsAre("/rehearsal"));
  EXPECT_NE(guest_->rehearsed->process().stdout_stream(), 0U);
  ASSERT_THAT(create(), IsOk());
  EXPECT_TRUE(container_->is_restored());
  EXPECT_TRUE(container_->has_stood_by());
  start();
  until([this] { return started_.has_value() && guest_->waiting.contains(""); });
  ASSERT_THAT(*started_, IsOk());
  // The same machine and place, with the container's disks.
  EXPECT_EQ(host_.script, standing);
  ASSERT_EQ(standing->exchanged.size(), 2U);
  EXPECT_EQ(standing->exchanged[0].serial, "base");
  EXPECT_THAT(host_.attached, ElementsAre("c1"));
  EXPECT_EQ(guest_->started->network().SerializeAsString(),
            guest_->rehearsed->network().SerializeAsString());
  EXPECT_NE(guest_->started->entropy(), guest_->rehearsed->entropy());
  host_.script->exit(vmm::MachineExit::Cause::Killed, "killed");
  until_gone();
  EXPECT_EQ(status(), 137U);
  EXPECT_THAT(host_.detached, ElementsAre("c1"));
}

TEST_F(ContainerTest, BootsWhenTheDisksOfWhatStoodByCannotBeExchanged) {
  stand_by();
  host_.script->exchange_error = fail(ErrorCode::Remote, "no such node");
  ASSERT_THAT(create(), IsOk());
  start();
  until([this] { return host_.origins.size() == 2; });
  EXPECT_EQ(host_.origins.back(), Host::Origin::Boot);
  EXPECT_FALSE(container_->has_stood_by());
  EXPECT_TRUE(host_.has_template);
  boot();
  until([this] { return started_.has_value(); });
  EXPECT_THAT(*started_, IsOk());
  EXPECT_THAT(host_.attached, ElementsAre("c1"));
}

TEST_F(ContainerTest, AMachineThatDoesNotSuitIsGivenBackBefore) {
  stand_by();
  const auto standing = host_.script;
  config_.options.memory_bytes = 64U << 20U;
  ASSERT_THAT(create(), IsOk());
  EXPECT_NE(host_.script, standing);
  EXPECT_FALSE(container_->has_stood_by());
  EXPECT_THAT(host_.detached, ElementsAre("c1"));
  EXPECT_THAT(host_.attached, ElementsAre("c1", "c1"));
}

TEST_F(ContainerTest, OneOfAnotherShapeLeavesItsPlaceInTheNetwork) {
  stand_by();
  const auto standing = host_.script;
  host_.shape_differs = true;
  ASSERT_THAT(create(), IsOk());
  EXPECT_NE(host_.script, standing);
  EXPECT_FALSE(container_->has_stood_by());
  EXPECT_THAT(host_.detached, IsEmpty());
  EXPECT_THAT(host_.attached, ElementsAre("c1"));
}

TEST_F(ContainerTest, WhatCannotStandByHoldsNothing) {
  EXPECT_THAT(Standby::create(*loop_, host_, "c1", config_.options, {}),
              IsError(ErrorCode::NotFound));
  EXPECT_EQ(host_.templates_left, 1);
  EXPECT_THAT(host_.detached, ElementsAre("c1"));
  host_.has_template = true;
  std::optional<ErrorCode> lost;
  auto standby = Standby::create(
      *loop_, host_, "c1", config_.options,
      {.on_ready = [] { FAIL(); }, .on_lost = [&](const Error& error) { lost = error.code(); }});
  ASSERT_THAT(standby, IsOk());
  boot();
  guest_->rehearsal_error = fail(ErrorCode::FailedPrecondition, "not prepared");
  until([&] { return lost.has_value(); });
  EXPECT_EQ(lost, ErrorCode::FailedPrecondition);
  standby->reset();
  EXPECT_THAT(host_.detached, ElementsAre("c1", "c1"));
}

TEST_F(ContainerTest, GivesTheMachineAPowerOfTwoAndLimitsTheContainer) {
  config_.options.memory_bytes = 300U << 20U;
  run();
  EXPECT_EQ(host_.script->config.memory_bytes, 512U << 20U);
  EXPECT_EQ(guest_->started->resources().memory_bytes(), 300U << 20U);
}

TEST_F(ContainerTest, WithoutANetworkNothingIsAttached) {
  config_.options.network = "none";
  ASSERT_THAT(create(), IsOk());
  EXPECT_FALSE(host_.script->config.network.has_value());
  container_.reset();
  EXPECT_THAT(host_.attached, IsEmpty());
  EXPECT_THAT(host_.detached, IsEmpty());
}

TEST_F(ContainerTest, AFailedCreateHoldsNothing) {
  host_.machine_error = Error(ErrorCode::NotFound, "no QEMU");
  EXPECT_THAT(create(), IsError(ErrorCode::NotFound));
  EXPECT_EQ(host_.attached, host_.detached);
  host_.machine_error.reset();
  host_.network_error = Error(ErrorCode::ResourceExhausted, "no address");
  EXPECT_THAT(create(), IsError(ErrorCode::ResourceExhausted));
}

TEST_F(ContainerTest, ARootThatIsNoFileIsRefused) {
  config_.base_path = "/dev/null";
  EXPECT_THAT(create(), IsError(ErrorCode::Invalid));
  config_.base_path = directory_;
  EXPECT_THAT(create(), Not(IsOk()));
  config_.base_path = directory_ + "/absent";
  EXPECT_THAT(create(), IsError(ErrorCode::NotFound));
}

TEST_F(ContainerTest, OutputIsDrainedBeforeAnybodyIsTold) {
  config_.stdio.out = directory_ + "/out";
  const os::UniqueFd reader = *os::open_file(directory_ + "/out", O_RDONLY | O_NONBLOCK);
  run();
  wait();
  // More than the FIFO holds.
  const std::string block(50'000, 'x');
  std::size_t said = guest_->say(guest_->out(), block);
  said += guest_->say(guest_->out(), block);
  guest_->end("", 0);
  guest_->end_outputs();
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(loop_->run_once(milliseconds(1)), IsOk());
  }
  EXPECT_FALSE(waited_.has_value());
  std::string text;
  until([&] {
    std::array<std::byte, 65536> buffer{};
    if (const auto got = os::try_read(reader.get(), buffer); got && *got) {
      text += as_text(std::span(buffer).first(**got));
    }
    return waited_.has_value();
  });
  EXPECT_EQ(text.size(), said);
}

TEST_F(ContainerTest, KillEndsAnOutputThatNobodyTakes) {
  config_.stdio.out = directory_ + "/out";
  const os::UniqueFd reader = *os::open_file(directory_ + "/out", O_RDONLY | O_NONBLOCK);
  run();
  power_off_ends_the_machine();
  wait();
  guest_->say(guest_->out(), std::string(60'000, 'x'));
  guest_->say(guest_->out(), std::string(60'000, 'x'));
  guest_->end("", 3);
  guest_->end_outputs();
  until([this] { return (*container_->find(""))->state() == ProcessState::Draining; });
  std::optional<Result<>> killed;
  container_->kill("", SIGTERM, Container::KillScope::Process, [&](const auto& r) { killed = r; });
  EXPECT_THAT(*killed, IsError(ErrorCode::NotFound));
  EXPECT_FALSE(waited_.has_value());
  container_->kill("", SIGKILL, Container::KillScope::Process, [&](const auto& r) { killed = r; });
  EXPECT_THAT(*killed, IsOk());
  until_gone();
  EXPECT_EQ((*waited_)->status, 3);
}

TEST_F(ContainerTest, AProgramThatIsAbsentIs127) {
  ASSERT_THAT(create(), IsOk());
  start();
  boot();
  guest_->on_start = [](auto respond) {
    agent::v1::StartResponse response;
    response.set_failure(agent::v1::START_FAILURE_NOT_FOUND);
    response.set_message("exec \"x\": no such program");
    respond(response);
  };
  power_off_ends_the_machine();
  until_gone();
  EXPECT_THAT(*started_, IsError(ErrorCode::FailedPrecondition));
  EXPECT_EQ(started_->error().message(), "exec \"x\": no such program");
  EXPECT_EQ(status(), 127);
  EXPECT_EQ(container_->cause(), "exec \"x\": no such program");
  // The status is there when the answer is.
  EXPECT_THAT(events_, ElementsAre("exited  127", "answered", "gone"));
}

TEST_F(ContainerTest, OtherFailuresOfAStart) {
  const std::vector<std::pair<agent::v1::StartFailure, std::uint32_t>> cases = {
      {agent::v1::START_FAILURE_NOT_EXECUTABLE, 126},
      {agent::v1::START_FAILURE_SETUP, 125},
      {agent::v1::START_FAILURE_USER, 125},
      {agent::v1::START_FAILURE_WORKING_DIRECTORY, 125}};
  for (const auto& [failure, expected] : cases) {
    host_.script = std::make_shared<MachineScript>();
    started_.reset();
    ASSERT_THAT(create(), IsOk());
    start();
    boot();
    guest_->on_start = [wanted = failure](auto respond) {
      agent::v1::StartResponse response;
      response.set_failure(wanted);
      respond(response);
    };
    power_off_ends_the_machine();
    until_gone();
    EXPECT_THAT(*started_, IsError(ErrorCode::FailedPrecondition));
    EXPECT_EQ(status(), expected);
  }
}

TEST_F(ContainerTest, AGuestThatNeverAnswersIsGivenUp) {
  timeouts_.boot = milliseconds(30);
  ASSERT_THAT(create(), IsOk());
  start();
  until_gone();
  EXPECT_THAT(*started_, IsError(ErrorCode::Unavailable));
  EXPECT_THAT(started_->error().message(), HasSubstr("did not answer"));
  EXPECT_TRUE(host_.script->was_killed);
  EXPECT_THAT(container_->cause(), HasSubstr("did not answer"));
  EXPECT_EQ(host_.detached.size(), 1);
}

TEST_F(ContainerTest, AGuestThatDiesWhileBootingSaysWhy) {
  ASSERT_THAT(create(), IsOk());
  start();
  host_.script->exit(vmm::MachineExit::Cause::GuestPanic, "the guest's kernel panicked: no init");
  until_gone();
  EXPECT_EQ(started_->error().message(), "the guest's kernel panicked: no init");
  EXPECT_EQ(status(), 125);
}

TEST_F(ContainerTest, AMachineThatIsKilledIs137) {
  run();
  wait();
  container_->start("", [](const Result<>& result) {
    EXPECT_THAT(result, IsError(ErrorCode::FailedPrecondition));
  });
  host_.script->exit(vmm::MachineExit::Cause::Killed, "qemu was killed by signal 9 (Killed)");
  until_gone();
  EXPECT_EQ((*waited_)->status, 137);
  EXPECT_EQ(container_->cause(), "qemu was killed by signal 9 (Killed)");
  EXPECT_EQ(host_.detached.size(), 1);
}

TEST_F(ContainerTest, APanicWhileRunningIs137WithTheReason) {
  run();
  wait();
  // The channel closes first, as it does; the machine's own word counts.
  guest_->vanish();
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(loop_->run_once(milliseconds(1)), IsOk());
  }
  host_.script->exit(vmm::MachineExit::Cause::GuestPanic, "the guest's kernel panicked: oops");
  until_gone();
  EXPECT_EQ((*waited_)->status, 137);
  EXPECT_EQ(container_->cause(), "the guest's kernel panicked: oops");
}

TEST_F(ContainerTest, AGuestWhoseChannelClosesLosesItsMachine) {
  run();
  wait();
  guest_->vanish();
  until_gone();
  EXPECT_TRUE(host_.script->was_killed);
  EXPECT_EQ((*waited_)->status, 137);
  EXPECT_THAT(container_->cause(), HasSubstr("connection to the guest"));
}

TEST_F(ContainerTest, AGuestThatLiesLosesItsMachine) {
  run();
  wait();
  guest_->end("", UINT32_MAX);
  until_gone();
  EXPECT_TRUE(host_.script->was_killed);
  EXPECT_EQ((*waited_)->status, 137);
  EXPECT_THAT(container_->cause(), HasSubstr("exit code 4294967295"));
}

TEST_F(ContainerTest, AnExitBeforeTheStartIsNeverHeard) {
  ASSERT_THAT(create(), IsOk());
  boot();
  until([this] { return guest_->broken || true; });
  // Nobody has asked for it: an answer without a call goes nowhere.
  EXPECT_TRUE(guest_->waiting.empty());
  EXPECT_THAT(events_, IsEmpty());
}

TEST_F(ContainerTest, AGuestThatDoesNotObeyIsKilled) {
  run();
  wait();
  std::vector<ttrpc::Responder<agent::v1::SignalResponse>> kept;
  guest_->on_signal = [&](auto respond) { kept.push_back(std::move(respond)); };
  std::optional<Result<>> killed;
  container_->kill("", SIGTERM, Container::KillScope::Process, [&](const auto& r) { killed = r; });
  until([&] { return killed.has_value(); });
  EXPECT_THAT(*killed, IsError(ErrorCode::Timeout));
  EXPECT_FALSE(host_.script->was_killed);
  container_->kill("", SIGKILL, Container::KillScope::Process, [&](const auto& r) { killed = r; });
  until_gone();
  EXPECT_TRUE(host_.script->was_killed);
  EXPECT_EQ((*waited_)->status, 137);
}

TEST_F(ContainerTest, ASignalReachesTheProcess) {
  run();
  std::optional<Result<>> killed;
  container_->kill("", SIGUSR1, Container::KillScope::Container,
                   [&](const auto& r) { killed = r; });
  until([&] { return killed.has_value(); });
  EXPECT_THAT(*killed, IsOk());
  ASSERT_EQ(guest_->signals.size(), 1);
  EXPECT_EQ(guest_->signals[0].signal(), SIGUSR1);
  EXPECT_TRUE(guest_->signals[0].all());
  container_->kill("", 0, Container::KillScope::Process, [&](const auto& r) { killed = r; });
  EXPECT_THAT(*killed, IsError(ErrorCode::Invalid));
  container_->kill("", 65, Container::KillScope::Process, [&](const auto& r) { killed = r; });
  EXPECT_THAT(*killed, IsError(ErrorCode::Invalid));
}

TEST_F(ContainerTest, ASignalBeforeTheAgentAnswersEndsTheStart) {
  ASSERT_THAT(create(), IsOk());
  start();
  std::optional<Result<>> killed;
  container_->kill("", SIGWINCH, Container::KillScope::Process, [&](const auto& r) { killed = r; });
  EXPECT_THAT(*killed, IsOk());
  EXPECT_FALSE(started_.has_value());
  container_->kill("", SIGINT, Container::KillScope::Process, [&](const auto& r) { killed = r; });
  until_gone();
  EXPECT_THAT(*started_, IsError(ErrorCode::Cancelled));
  EXPECT_EQ(status(), 130);
  EXPECT_TRUE(host_.script->was_killed);
  EXPECT_THAT(events_, ElementsAre("exited  130", "answered", "gone"));
}

TEST_F(ContainerTest, StartTwiceIsRefused) {
  run();
  started_.reset();
  start();
  EXPECT_THAT(*started_, IsError(ErrorCode::FailedPrecondition));
}

TEST_F(ContainerTest, UnknownProcessesAreNotFound) {
  run();
  const auto not_found = [](const auto& result) {
    EXPECT_THAT(result, IsError(ErrorCode::NotFound));
  };
  container_->start("x", not_found);
  container_->wait("x", not_found);
  container_->kill("x", 9, Container::KillScope::Process, not_found);
  container_->resize("x", 1, 1, not_found);
  container_->remove("x", not_found);
  not_found(container_->close_stdin("x"));
  not_found(container_->find("x"));
}

TEST_F(ContainerTest, AThousandMayWait) {
  run();
  int told = 0;
  for (int i = 0; i < 1000; ++i) {
    container_->wait("", [&](const Result<ExitRecord>& exit) { told += exit.has_value() ? 1 : 0; });
  }
  power_off_ends_the_machine();
  guest_->end("", 0, SIGTERM);
  guest_->end_outputs();
  until_gone();
  EXPECT_EQ(told, 1000);
  EXPECT_EQ(status(), 143);
  wait();  // after the end too
  EXPECT_EQ((*waited_)->status, 143);
}

TEST_F(ContainerTest, AnExecHasItsOwnLife) {
  run();
  oci::Process process;
  process.args = {"/bin/ls"};
  EXPECT_THAT(container_->add_exec("e1", process, {}, false), IsOk());
  EXPECT_THAT(container_->add_exec("e1", process, {}, false), IsError(ErrorCode::AlreadyExists));
  EXPECT_THAT(container_->add_exec("../x", process, {}, false), IsError(ErrorCode::Invalid));
  std::optional<Result<>> started;
  container_->start("e1", [&](const auto& r) { started = r; });
  until([&] { return started.has_value() && guest_->waiting.contains("e1"); });
  EXPECT_THAT(*started, IsOk());
  std::optional<Result<ExitRecord>> exit;
  container_->wait("e1", [&](const auto& r) { exit = r; });
  container_->remove("e1",
                     [](const auto& r) { EXPECT_THAT(r, IsError(ErrorCode::FailedPrecondition)); });
  guest_->end("e1", 5);
  until([&] { return exit.has_value(); });
  EXPECT_EQ((*exit)->status, 5);
  container_->remove("e1", [](const auto& r) {
    ASSERT_THAT(r, IsOk());
    EXPECT_EQ(r->status, 5);
  });
  EXPECT_THAT(container_->find("e1"), IsError(ErrorCode::NotFound));
  EXPECT_THAT(events_, ElementsAre("started ", "answered", "started e1", "exited e1 5"));
}

TEST_F(ContainerTest, AnExecOfAnAbsentProgramIs127AndTheContainerGoesOn) {
  run();
  guest_->on_exec = [](auto respond) {
    agent::v1::ExecResponse response;
    response.set_failure(agent::v1::START_FAILURE_NOT_FOUND);
    response.set_message("exec \"x\": no such program");
    respond(response);
  };
  oci::Process process;
  process.args = {"x"};
  ASSERT_THAT(container_->add_exec("e1", process, {}, false), IsOk());
  std::optional<Result<>> started;
  container_->start("e1", [&](const auto& r) { started = r; });
  until([&] { return started.has_value(); });
  EXPECT_THAT(*started, IsError(ErrorCode::FailedPrecondition));
  EXPECT_EQ(status("e1"), 127);
  EXPECT_EQ((*container_->find(""))->state(), ProcessState::Running);
  EXPECT_TRUE(container_->cause().empty());
}

TEST_F(ContainerTest, ExecsEndWithTheirMachine) {
  run();
  oci::Process process;
  process.args = {"x"};
  ASSERT_THAT(container_->add_exec("e1", process, {}, false), IsOk());
  ASSERT_THAT(container_->add_exec("e2", process, {}, false), IsOk());
  container_->start("e1", [](const Result<>&) {});
  until([this] { return guest_->waiting.contains("e1"); });
  power_off_ends_the_machine();
  guest_->end("", 0);
  guest_->end_outputs();
  until_gone();
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(status("e1"), 137);
  EXPECT_THAT(container_->add_exec("e3", process, {}, false),
              IsError(ErrorCode::FailedPrecondition));
}

TEST_F(ContainerTest, AReaderThatStallsDoesNotKeepTheContainerFromBeingOver) {
  timeouts_.late_output = milliseconds(30);
  run();
  const os::UniqueFd reader = *os::open_file(directory_ + "/out", O_RDONLY | O_NONBLOCK);
  oci::Process process;
  process.args = {"x"};
  ASSERT_THAT(
      container_->add_exec("e1", process, {.in = "", .out = directory_ + "/out", .err = ""}, false),
      IsOk());
  container_->start("e1", [](const Result<>&) {});
  until([this] { return guest_->waiting.contains("e1"); });
  for (int i = 0; i < 3; ++i) {
    guest_->say(guest_->execs[0].process().stdout_stream(), std::string(60'000, 'x'));
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(loop_->run_once(milliseconds(1)), IsOk());
  }
  host_.script->exit(vmm::MachineExit::Cause::Killed, "was killed");
  until_gone();
  EXPECT_EQ(status("e1"), 137);
}

TEST_F(ContainerTest, DeleteWaitsUntilEverythingIsGivenBack) {
  run();
  container_->remove("",
                     [](const auto& r) { EXPECT_THAT(r, IsError(ErrorCode::FailedPrecondition)); });
  guest_->end("", 4);
  guest_->end_outputs();
  until([this] { return (*container_->find(""))->state() == ProcessState::Stopped; });
  std::optional<Result<ExitRecord>> removed;
  container_->remove("", [&](const auto& r) { removed = r; });
  EXPECT_FALSE(removed.has_value());
  until([&] { return removed.has_value(); });
  EXPECT_EQ((*removed)->status, 4);
  EXPECT_EQ(host_.detached.size(), 1);
}

TEST_F(ContainerTest, DeleteOfWhatWasNeverStartedEndsTheMachine) {
  ASSERT_THAT(create(), IsOk());
  std::optional<Result<ExitRecord>> removed;
  container_->remove("", [&](const auto& r) { removed = r; });
  until([&] { return removed.has_value(); });
  EXPECT_THAT(*removed, IsOk());
  EXPECT_TRUE(host_.script->was_killed);
}

TEST_F(ContainerTest, AGuestThatDoesNotPowerOffIsMadeTo) {
  config_.options.scratch_path = directory_ + "/kept.ext4";
  run();
  guest_->end("", 0);
  guest_->end_outputs();
  until_gone();
  EXPECT_TRUE(guest_->was_shut_down);
  EXPECT_TRUE(host_.script->was_quit);
}

TEST_F(ContainerTest, AContainerThatIsThrownAwayIsNotPoweredOff) {
  config_.options.managed = true;
  config_.options.remove_on_exit = true;
  run();
  guest_->end("", 0);
  guest_->end_outputs();
  until_gone();
  EXPECT_FALSE(guest_->was_shut_down);
  EXPECT_TRUE(host_.script->was_killed);
  EXPECT_EQ(status(), 0);
  EXPECT_TRUE(container_->cause().empty());
}

TEST_F(ContainerTest, ATransientOneWithADiskOfTheHostsPowersOff) {
  config_.options.remove_on_exit = true;
  std::string image(2048, '\0');
  image.replace(1024 + 0x38, 2, "\x53\xef");
  ASSERT_THAT(os::write_file_atomically(directory_ + "/disk.ext4", image), IsOk());
  config_.spec.mounts.push_back(
      {.destination = "/data", .type = "ext4", .source = directory_ + "/disk.ext4", .options = {}});
  run();
  power_off_ends_the_machine();
  guest_->end("", 0);
  guest_->end_outputs();
  until_gone();
  // What the guest has not written yet would be lost.
  EXPECT_TRUE(guest_->was_shut_down);
  EXPECT_FALSE(host_.script->was_killed);
}

TEST_F(ContainerTest, StdinAndSizesReachTheProcess) {
  config_.terminal = true;
  config_.stdio = {.in = directory_ + "/in", .out = "", .err = ""};
  ASSERT_THAT(create(), IsOk());
  const os::UniqueFd writer = *os::open_file(directory_ + "/in", O_WRONLY | O_NONBLOCK);
  ASSERT_THAT(os::write_all(writer.get(), as_bytes("typed")), IsOk());
  container_->resize("", 80, 24, [](const auto& r) { EXPECT_THAT(r, IsOk()); });
  container_->resize("", 70'000, 1,
                     [](const auto& r) { EXPECT_THAT(r, IsError(ErrorCode::Invalid)); });
  start();
  boot();
  until([this] { return started_.has_value() && guest_->received[guest_->in()] == "typed"; });
  EXPECT_TRUE(guest_->started->process().terminal());
  EXPECT_EQ(guest_->started->process().terminal_columns(), 80);
  EXPECT_EQ(guest_->started->process().stderr_stream(), 0);
  std::optional<Result<>> resized;
  container_->resize("", 132, 43, [&](const auto& r) { resized = r; });
  until([&] { return resized.has_value(); });
  ASSERT_EQ(guest_->sizes.size(), 1);
  EXPECT_EQ(guest_->sizes[0].columns(), 132);
  ASSERT_THAT(container_->close_stdin(""), IsOk());
  until([this] { return guest_->ended.contains(guest_->in()); });
}

TEST_F(ContainerTest, TheEndOfTheShimKillsTheMachineAndGivesBack) {
  run();
  wait();
  container_->shut_down("the shim was asked to end");
  until_gone();
  EXPECT_EQ((*waited_)->status, 137);
  EXPECT_EQ(container_->cause(), "the shim was asked to end");
}

TEST_F(ContainerTest, MarksItsPhases) {
  run();
  power_off_ends_the_machine();
  guest_->end("", 0);
  guest_->end_outputs();
  until_gone();
  const std::string json = timing_.to_json();
  for (const char* phase : {"scratch", "network", "machine started", "agent hello", "plan sent",
                            "started", "exited", "drained", "machine gone", "torn down"}) {
    EXPECT_THAT(json, HasSubstr(phase));
  }
}

}  // namespace
}  // namespace bulkhead::runtime
