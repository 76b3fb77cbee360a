// The Task service over a socket pair, with a scripted host and guest behind it.
#include "bulkhead/shim/task_service.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/scripted_guest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/scripted_host.h"
#include "bulkhead/runtime/timing.h"
#include "bulkhead/shim/events.h"
#include "bulkhead/shim/task_requests.h"
#include "bulkhead/ttrpc/client.h"
#include "bulkhead/ttrpc/server.h"
#include "bulkhead/ttrpc/transport.h"
#include "bulkhead/vmm/machine.h"

#include "containerd/cgroups/v2/metrics.pb.h"
#include "containerd/task/v2/task.ttrpc.h"

namespace bulkhead::shim {
namespace {

namespace task_api = containerd::task::v2;
using agent_client::ScriptedGuest;
using ::testing::HasSubstr;

class TaskServiceTest : public ::testing::Test {
 protected:
  TaskServiceTest()
      : loop_(*os::EventLoop::create()),
        directory_(::testing::TempDir() + "bulkhead-task-" + std::to_string(::getpid())),
        paths_{.state = directory_ + "/state",
               .run = directory_ + "/run",
               .libexec = "/x",
               .share = "/x"} {
    std::ignore = std::signal(SIGPIPE, SIG_IGN);
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
    store_.emplace(*runtime::ContainerStore::open(paths_));
    EXPECT_THAT(os::write_file_atomically(directory_ + "/base.ext4", "image"), IsOk());
    runtime::ContainerRecord record;
    record.root = directory_ + "/base.ext4";
    record.name = "web";
    oci::Spec spec = oci::default_spec();
    spec.process->args = {"/bin/sh"};
    record_ = *store_->create(std::move(record), spec);
    events_ = std::make_unique<EventPublisher>(
        *loop_,
        PublisherOptions{.name_space = "n", .address = "", .file = directory_ + "/events.log"});
    service_ = std::make_unique<TaskService>(
        *loop_, host_, timing_, *events_,
        TaskServiceConfig{.id = record_.id, .bundle = store_->bundle(record_.id), .paths = paths_},
        [this] { over_ = true; });
    server_ = std::make_unique<ttrpc::Server>(*loop_);
    server_->add_service(*service_);
    server_->add_service(*service_, "containerd.task.v3.Task");
    server_->on_idle([this] { service_->on_idle(); });
    connect();
  }

  void TearDown() override {
    task_.reset();
    client_.reset();
    server_.reset();
    service_.reset();
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
  }

  void connect() {
    auto [ours, theirs] = *os::make_socket_pair();
    ASSERT_THAT(server_->serve(*ttrpc::make_fd_transport(*loop_, std::move(theirs))), IsOk());
    client_ = *ttrpc::Client::create(*loop_, *ttrpc::make_fd_transport(*loop_, std::move(ours)));
    task_.emplace(*client_);
  }

  task_api::CreateTaskRequest create_request() {
    return shim::create_request(record_, store_->bundle(record_.id));
  }

  template <class Request>
  Request of(const std::string& exec_id = "") {
    return shim::request_of<Request>(record_.id, exec_id);
  }

  void boot() {
    guest_ = std::make_unique<ScriptedGuest>(*loop_, std::move(host_.script->guest_end));
    guest_->on_shutdown = [this](auto respond) {
      respond(agent::v1::ShutdownResponse());
      loop_->post([this] {
        host_.script->exit(vmm::MachineExit::Cause::Shutdown, "the guest powered off");
      });
    };
  }

  void run() {
    ASSERT_THAT(task_->create_and_wait(create_request()), IsOk());
    boot();
    ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
    agent_client::run_until(*loop_, [this] { return guest_->waiting.contains(""); });
  }

  void end(std::uint32_t code) {
    guest_->end("", code);
    guest_->end_outputs();
  }

  runtime::ContainerState on_disk() { return *store_->load_state(record_.id); }

  std::string events() { return os::read_file(directory_ + "/events.log").value_or(""); }

  std::unique_ptr<os::EventLoop> loop_;
  std::string directory_;
  config::Paths paths_;
  std::optional<runtime::ContainerStore> store_;
  runtime::ContainerRecord record_;
  runtime::ScriptedHost host_;
  runtime::Timing timing_;
  std::unique_ptr<EventPublisher> events_;
  std::unique_ptr<TaskService> service_;
  std::unique_ptr<ttrpc::Server> server_;
  std::unique_ptr<ttrpc::Client> client_;
  std::optional<task_api::TaskClient> task_;
  std::unique_ptr<ScriptedGuest> guest_;
  bool over_ = false;
};

TEST_F(TaskServiceTest, RunsAContainerToItsEnd) {
  const auto created = task_->create_and_wait(create_request());
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->pid(), 4242);
  EXPECT_EQ(on_disk().status, runtime::ContainerStatus::Created);
  EXPECT_EQ(on_disk().shim_pid, ::getpid());
  EXPECT_EQ(on_disk().vm_pid, 4242);
  EXPECT_EQ(on_disk().address, "10.79.0.2");
  boot();
  ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
  EXPECT_EQ(on_disk().status, runtime::ContainerStatus::Running);
  const auto state = task_->state_and_wait(of<task_api::StateRequest>());
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->status(), containerd::v1::types::RUNNING);
  EXPECT_EQ(state->pid(), 4242);
  agent_client::run_until(*loop_, [this] { return guest_->waiting.contains(""); });
  end(9);
  const auto exit = task_->wait_and_wait(of<task_api::WaitRequest>());
  ASSERT_THAT(exit, IsOk());
  EXPECT_EQ(exit->exit_status(), 9);
  EXPECT_GT(exit->exited_at().seconds(), 1'700'000'000);
  EXPECT_EQ(on_disk().status, runtime::ContainerStatus::Stopped);
  EXPECT_EQ(on_disk().exit_code, 9);
  EXPECT_EQ(on_disk().error, "");
  agent_client::run_until(*loop_, [this] { return over_; });
  EXPECT_EQ(host_.detached.size(), 1);
  const std::string log = events();
  const auto at = [&](const char* topic) { return log.find(topic); };
  EXPECT_LT(at("/tasks/create"), at("/tasks/start"));
  EXPECT_LT(at("/tasks/start"), at("/tasks/exit"));
}

TEST_F(TaskServiceTest, AnswersVersion3Too) {
  task_api::TaskClient v3(*client_, "containerd.task.v3.Task");
  EXPECT_THAT(v3.create_and_wait(create_request()), IsOk());
}

TEST_F(TaskServiceTest, BeforeCreateThereIsNothing) {
  EXPECT_THAT(task_->state_and_wait(of<task_api::StateRequest>()), IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->wait_and_wait(of<task_api::WaitRequest>()), IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->delete__and_wait(of<task_api::DeleteRequest>()), IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->pids_and_wait(of<task_api::PidsRequest>()), IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->connect_and_wait(of<task_api::ConnectRequest>()),
              IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->exec_and_wait(of<task_api::ExecProcessRequest>("e")),
              IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->pause_and_wait(of<task_api::PauseRequest>()), IsError(ErrorCode::Unsupported));
  EXPECT_THAT(task_->stats_and_wait(of<task_api::StatsRequest>()), IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->shutdown_and_wait(of<task_api::ShutdownRequest>()), IsOk());
}

TEST_F(TaskServiceTest, RefusesWhatItCannotMake) {
  auto request = create_request();
  request.set_id("another");
  EXPECT_THAT(task_->create_and_wait(request), IsError(ErrorCode::Invalid));
  request = create_request();
  request.set_checkpoint("/x");
  EXPECT_THAT(task_->create_and_wait(request), IsError(ErrorCode::Unsupported));
  request = create_request();
  request.mutable_options()->set_value("\xff\xff\xff");
  EXPECT_THAT(task_->create_and_wait(request), IsError(ErrorCode::Invalid));
  request = create_request();
  request.clear_options();
  request.mutable_rootfs(0)->set_type("overlay");
  const auto refused = task_->create_and_wait(request);
  ASSERT_THAT(refused, IsError(ErrorCode::Unsupported));
  EXPECT_THAT(refused.error().message(), HasSubstr("overlay"));
  request.clear_rootfs();
  EXPECT_THAT(task_->create_and_wait(request), IsError(ErrorCode::Invalid));
  EXPECT_TRUE(host_.attached.empty());
}

TEST_F(TaskServiceTest, CreateTwiceIsRefused) {
  ASSERT_THAT(task_->create_and_wait(create_request()), IsOk());
  EXPECT_THAT(task_->create_and_wait(create_request()), IsError(ErrorCode::AlreadyExists));
}

TEST_F(TaskServiceTest, AFailedCreateIsWrittenDownAndEndsTheShim) {
  host_.machine_error = Error(ErrorCode::NotFound, "qemu-system-x86_64: not found");
  EXPECT_THAT(task_->create_and_wait(create_request()), IsError(ErrorCode::NotFound));
  EXPECT_EQ(on_disk().status, runtime::ContainerStatus::Stopped);
  EXPECT_EQ(on_disk().exit_code, 125);
  EXPECT_EQ(on_disk().error, "qemu-system-x86_64: not found");
  task_.reset();
  client_.reset();
  agent_client::run_until(*loop_, [this] { return over_; });
}

TEST_F(TaskServiceTest, AFailedStartSaysItsStatus) {
  ASSERT_THAT(task_->create_and_wait(create_request()), IsOk());
  boot();
  guest_->on_start = [this](auto respond) {
    agent::v1::StartResponse response;
    response.set_failure(agent::v1::START_FAILURE_NOT_EXECUTABLE);
    response.set_message("exec \"/etc/passwd\": permission denied");
    respond(response);
    guest_->end_outputs();
  };
  const auto started = task_->start_and_wait(of<task_api::StartRequest>());
  ASSERT_THAT(started, IsError(ErrorCode::FailedPrecondition));
  EXPECT_EQ(started.error().message(), "exec \"/etc/passwd\": permission denied");
  const auto state = task_->state_and_wait(of<task_api::StateRequest>());
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->status(), containerd::v1::types::STOPPED);
  EXPECT_EQ(state->exit_status(), 126);
  EXPECT_EQ(on_disk().exit_code, 126);
  agent_client::run_until(*loop_, [this] { return over_; });
}

TEST_F(TaskServiceTest, ATransientContainerIsGoneWhenItsEndIsTold) {
  record_.options.remove_on_exit = true;
  run();
  end(0);
  EXPECT_THAT(task_->wait_and_wait(of<task_api::WaitRequest>()), IsOk());
  EXPECT_THAT(store_->find("web"), IsError(ErrorCode::NotFound));
  EXPECT_FALSE(os::path_exists(store_->bundle(record_.id)));
  agent_client::run_until(*loop_, [this] { return over_; });
  service_->finish();
  EXPECT_FALSE(os::path_exists(paths_.state + "/trash/" + record_.id));
}

TEST_F(TaskServiceTest, ASecondProcessRunsBesideTheFirst) {
  run();
  auto exec = of<task_api::ExecProcessRequest>("e1");
  exec.mutable_spec()->set_type_url("types.containerd.io/opencontainers/runtime-spec/1/Process");
  exec.mutable_spec()->set_value(R"({"args":["ls"],"cwd":"/"})");
  ASSERT_THAT(task_->exec_and_wait(exec), IsOk());
  EXPECT_THAT(task_->exec_and_wait(exec), IsError(ErrorCode::AlreadyExists));
  EXPECT_EQ(task_->state_and_wait(of<task_api::StateRequest>("e1"))->status(),
            containerd::v1::types::CREATED);
  ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>("e1")), IsOk());
  agent_client::run_until(*loop_, [this] { return guest_->waiting.contains("e1"); });
  guest_->end("e1", 3);
  const auto exit = task_->wait_and_wait(of<task_api::WaitRequest>("e1"));
  ASSERT_THAT(exit, IsOk());
  EXPECT_EQ(exit->exit_status(), 3);
  const auto deleted = task_->delete__and_wait(of<task_api::DeleteRequest>("e1"));
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->exit_status(), 3);
  EXPECT_THAT(task_->state_and_wait(of<task_api::StateRequest>("e1")),
              IsError(ErrorCode::NotFound));
  exec.set_exec_id("e2");
  exec.mutable_spec()->set_value(R"({"args":[],"cwd":"/"})");
  EXPECT_THAT(task_->exec_and_wait(exec), IsError(ErrorCode::Invalid));
  const std::string log = events();
  EXPECT_LT(log.find("exec-added"), log.find("exec-started"));
  EXPECT_LT(log.find("exec-started"), log.find("/tasks/exit"));
}

TEST_F(TaskServiceTest, PidsAndConnect) {
  run();
  guest_->on_processes = [](auto respond) {
    agent::v1::ProcessesResponse response;
    response.add_pids(1);
    response.add_pids(8);
    respond(response);
  };
  const auto pids = task_->pids_and_wait(of<task_api::PidsRequest>());
  ASSERT_THAT(pids, IsOk());
  ASSERT_EQ(pids->processes_size(), 2);
  EXPECT_EQ(pids->processes(1).pid(), 8);
  const auto connected = task_->connect_and_wait(of<task_api::ConnectRequest>());
  ASSERT_THAT(connected, IsOk());
  EXPECT_EQ(connected->shim_pid(), static_cast<std::uint32_t>(::getpid()));
  EXPECT_EQ(connected->task_pid(), 4242);
}

TEST_F(TaskServiceTest, StatsAreTheGuestsAndBoundedByTheMachine) {
  record_.options.memory_bytes = std::uint64_t{200} << 20U;
  ASSERT_THAT(task_->create_and_wait(create_request()), IsOk());
  boot();
  EXPECT_THAT(task_->stats_and_wait(of<task_api::StatsRequest>()),
              IsError(ErrorCode::FailedPrecondition));
  ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
  guest_->on_statistics = [](auto respond) {
    agent::v1::StatisticsResponse response;
    response.add_processor()->set_name("usage_usec");
    response.mutable_processor(0)->set_value(12);
    response.set_memory_bytes(std::uint64_t{1} << 40U);
    respond(response);
  };
  const auto stats = task_->stats_and_wait(of<task_api::StatsRequest>());
  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->stats().type_url(), "io.containerd.cgroups.v2.Metrics");
  io::containerd::cgroups::v2::Metrics metrics;
  ASSERT_TRUE(metrics.ParseFromString(stats->stats().value()));
  EXPECT_EQ(metrics.cpu().usage_usec(), 12);
  EXPECT_EQ(metrics.memory().usage(), 256 << 20);
  EXPECT_EQ(metrics.memory().usage_limit(), 256 << 20);
  guest_->on_statistics = [](auto respond) {
    agent::v1::StatisticsResponse response;
    response.set_processes(UINT64_MAX);
    respond(response);
  };
  EXPECT_THAT(task_->stats_and_wait(of<task_api::StatsRequest>()), IsError(ErrorCode::Corrupt));
  // Which changes nothing for the container.
  EXPECT_EQ(task_->state_and_wait(of<task_api::StateRequest>())->status(),
            containerd::v1::types::RUNNING);
}

TEST_F(TaskServiceTest, UpdateChangesLimitsUpToTheMachines) {
  record_.options.memory_bytes = std::uint64_t{200} << 20U;
  auto update = of<task_api::UpdateTaskRequest>();
  update.mutable_resources()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources");
  update.mutable_resources()->set_value(R"({"memory":{"limit":104857600}})");
  EXPECT_THAT(task_->update_and_wait(update), IsError(ErrorCode::NotFound));
  ASSERT_THAT(task_->create_and_wait(create_request()), IsOk());
  boot();
  EXPECT_THAT(task_->update_and_wait(update), IsError(ErrorCode::FailedPrecondition));
  ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
  EXPECT_THAT(task_->update_and_wait(update), IsOk());
  ASSERT_EQ(guest_->updates.size(), 1);
  EXPECT_EQ(guest_->updates[0].resources().memory_bytes(), 104857600);
  EXPECT_EQ(guest_->updates[0].resources().pids(), 0);

  update.mutable_resources()->set_value(R"({"memory":{"limit":268435457}})");
  const auto too_much = task_->update_and_wait(update);
  ASSERT_THAT(too_much, IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(too_much.error().message(), HasSubstr("256 MiB"));
  update.mutable_resources()->set_value("{");
  EXPECT_THAT(task_->update_and_wait(update), IsError(ErrorCode::Invalid));
  update.mutable_resources()->set_type_url("io.containerd.cgroups.v1.Something");
  EXPECT_THAT(task_->update_and_wait(update), IsError(ErrorCode::Unsupported));
  EXPECT_EQ(guest_->updates.size(), 1);
}

TEST_F(TaskServiceTest, AnUpdateThatTheGuestRefusesSaysWhy) {
  run();
  guest_->on_update = [](auto respond) {
    respond(fail(ErrorCode::ResourceExhausted, "memory: 9 MiB are in use"));
  };
  auto update = of<task_api::UpdateTaskRequest>();
  update.mutable_resources()->set_type_url("LinuxResources");
  update.mutable_resources()->set_value(R"({"memory":{"limit":1048576}})");
  const auto refused = task_->update_and_wait(update);
  ASSERT_THAT(refused, IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(refused.error().message(), HasSubstr("9 MiB are in use"));
}

TEST_F(TaskServiceTest, KillOfWhatHasEndedIsNotFound) {
  run();
  end(0);
  ASSERT_THAT(task_->wait_and_wait(of<task_api::WaitRequest>()), IsOk());
  auto kill = of<task_api::KillRequest>();
  kill.set_signal(SIGTERM);
  EXPECT_THAT(task_->kill_and_wait(kill), IsError(ErrorCode::NotFound));
}

TEST_F(TaskServiceTest, ContainerdsShimEndsByShutdownAfterDelete) {
  auto request = create_request();
  request.clear_options();  // nothing of ours
  ASSERT_THAT(task_->create_and_wait(request), IsOk());
  EXPECT_TRUE(host_.attached.empty());
  boot();
  ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
  agent_client::run_until(*loop_, [this] { return guest_->waiting.contains(""); });
  EXPECT_THAT(task_->delete__and_wait(of<task_api::DeleteRequest>()),
              IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(task_->shutdown_and_wait(of<task_api::ShutdownRequest>()), IsOk());
  EXPECT_FALSE(over_);
  end(2);
  ASSERT_THAT(task_->wait_and_wait(of<task_api::WaitRequest>()), IsOk());
  const auto deleted = task_->delete__and_wait(of<task_api::DeleteRequest>());
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->exit_status(), 2);
  EXPECT_THAT(task_->delete__and_wait(of<task_api::DeleteRequest>()), IsError(ErrorCode::NotFound));
  EXPECT_THAT(task_->state_and_wait(of<task_api::StateRequest>()), IsError(ErrorCode::NotFound));
  EXPECT_FALSE(over_);
  EXPECT_THAT(task_->shutdown_and_wait(of<task_api::ShutdownRequest>()), IsOk());
  agent_client::run_until(*loop_, [this] { return over_; });
  // Nothing of ours was written for containerd's container.
  EXPECT_EQ(on_disk().shim_pid, 0);
}

TEST_F(TaskServiceTest, ACallerThatGoesAwayBeforeTheStartEndsTheContainer) {
  ASSERT_THAT(task_->create_and_wait(create_request()), IsOk());
  task_.reset();
  client_.reset();
  agent_client::run_until(*loop_, [this] { return over_; });
  EXPECT_TRUE(host_.script->was_killed);
  EXPECT_EQ(on_disk().status, runtime::ContainerStatus::Stopped);
  EXPECT_THAT(on_disk().error, HasSubstr("went away"));
}

TEST_F(TaskServiceTest, ACallerThatGoesAwayLaterChangesNothing) {
  run();
  task_.reset();
  client_.reset();
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(loop_->run_once(std::chrono::milliseconds(1)), IsOk());
  }
  EXPECT_FALSE(over_);
  EXPECT_EQ(on_disk().status, runtime::ContainerStatus::Running);
  end(0);
  agent_client::run_until(*loop_, [this] { return over_; });
  EXPECT_EQ(on_disk().status, runtime::ContainerStatus::Stopped);
}

TEST_F(TaskServiceTest, TerminateStopsTheContainer) {
  run();
  service_->terminate();
  agent_client::run_until(*loop_, [this] { return !guest_->signals.empty(); });
  EXPECT_EQ(guest_->signals[0].signal(), SIGTERM);
  guest_->end("", 0, SIGTERM);
  guest_->end_outputs();
  agent_client::run_until(*loop_, [this] { return over_; });
  EXPECT_EQ(on_disk().exit_code, 143);
}

TEST_F(TaskServiceTest, AMachineThatIsKilledIs137WithItsCause) {
  run();
  guest_->vanish();
  host_.script->exit(vmm::MachineExit::Cause::Killed, "qemu was killed by signal 9 (Killed)");
  const auto exit = task_->wait_and_wait(of<task_api::WaitRequest>());
  ASSERT_THAT(exit, IsOk());
  EXPECT_EQ(exit->exit_status(), 137);
  EXPECT_EQ(on_disk().exit_code, 137);
  EXPECT_EQ(on_disk().error, "qemu was killed by signal 9 (Killed)");
}

}  // namespace
}  // namespace bulkhead::shim
