// The real shim, spoken to over its socket as containerd and the command line speak to it, with
// real virtual machines behind it.

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/own_process.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/launch.h"
#include "bulkhead/shim/task_requests.h"
#include "bulkhead/ttrpc/client.h"

#include "containerd/task/v2/task.ttrpc.h"

namespace bulkhead {
namespace {

namespace task_api = containerd::task::v2;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string build_directory() {
  const auto directory = os::environment_variable("BULKHEAD_BUILD_DIR");
  return directory ? *directory : *os::program_directory() + "/..";
}

std::string shim_program() { return build_directory() + "/bin/" + runtime::kShimProgram; }

bool is_alive(pid_t pid) { return ::kill(pid, 0) == 0; }

bool ends(pid_t pid) {
  for (int i = 0; i < 1000 && is_alive(pid); ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  return !is_alive(pid);
}

/// State and run directories of this program's own, with one image in them.
class Installation : public ::testing::Environment {
 public:
  void SetUp() override {
    if (::geteuid() != 0) {
      return;
    }
    directory = "/tmp/bh-" + std::to_string(::getpid());
    ASSERT_THAT(os::make_directories(directory), IsOk());
    ::setenv("BULKHEAD_STATE_DIR", (directory + "/state").c_str(), 1);
    ::setenv("BULKHEAD_RUN_DIR", (directory + "/run").c_str(), 1);
    std::ignore = std::signal(SIGPIPE, SIG_IGN);
    const auto made = os::run_command({BULKHEAD_SCRIPTS "/make-busybox-image", tar()});
    ASSERT_THAT(made, IsOk());
    ASSERT_EQ(made->status.shell_code(), 0) << made->err;
    const auto imported = os::run_command(
        {build_directory() + "/libexec/bulkhead-image", "import", tar(), "localhost/busybox:test"});
    ASSERT_THAT(imported, IsOk());
    ASSERT_EQ(imported->status.shell_code(), 0) << imported->err;
    const auto roots = os::list_directory(directory + "/state/roots");
    for (const std::string& name : *roots) {
      if (name.ends_with(".ext4")) {
        root = directory + "/state/roots/" + name;
      }
    }
    ASSERT_FALSE(root.empty());
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory), IsOk()); }

  [[nodiscard]] std::string tar() const { return directory + "/busybox.tar"; }

  std::string directory;
  std::string root;
};

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): gtest owns it
Installation* const kInstallation =
    static_cast<Installation*>(::testing::AddGlobalTestEnvironment(new Installation));  // NOLINT

class ShimTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "must run as root";
    }
    const std::string& directory = kInstallation->directory;
    loop_ = *os::EventLoop::create();
    store_.emplace(
        *runtime::ContainerStore::open({.state = directory + "/state",
                                        .run = directory + "/run",
                                        .libexec = build_directory() + "/libexec",
                                        .share = build_directory() + "/share/bulkhead"}));
  }

  void TearDown() override {
    task_.reset();
    client_.reset();
    if (!store_) {
      return;
    }
    if (shim_) {
      // Nothing holds its end up beyond a stalled reader's time.
      EXPECT_THAT(end_of_shim(), IsOk());
    }
    const auto containers = store_->list();
    for (const auto& container : *containers) {
      if (store_->has_shim(container.record.id)) {
        ::kill(container.state.shim_pid, SIGKILL);
        EXPECT_THAT(store_->wait_for_end(container.record.id, seconds(20)), IsOk());
      }
      EXPECT_THAT(store_->remove(container.record.id), IsOk());
    }
    EXPECT_THAT(store_->reap_dead({}), IsOk());
    EXPECT_THAT(os::list_directory(kInstallation->directory + "/run/containers"),
                IsOkAnd(IsEmpty()));
  }

  Result<> end_of_shim() {
    const auto state = store_->load_state(record_.id);
    if (state && state->status == runtime::ContainerStatus::Running) {
      return {};  // the test has failed half way
    }
    return store_->wait_for_end(record_.id, seconds(40));
  }

  /// A container of the store with a shim that waits for Create.
  void make(std::vector<std::string> arguments, bool auto_remove = false,
            const std::string& network = "none") {
    oci::Spec spec = oci::default_spec();
    spec.process->args = std::move(arguments);
    spec.process->env = {"PATH=/bin"};
    runtime::ContainerRecord record;
    record.root = kInstallation->root;
    record.auto_remove = auto_remove;
    record.options.network = network;
    record.options.memory_bytes = 128U << 20U;
    record.options.vcpus = 1;
    record_ = *store_->create(std::move(record), spec);
    const auto lock = *store_->try_lock(record_.id);
    ASSERT_TRUE(lock.has_value());
    const os::UniqueFd listener = *os::listen_unix(store_->socket_path(record_.id));
    shim_.emplace(
        *os::spawn({.arguments = {shim_program(), "-namespace", "bulkhead", "-id", record_.id,
                                  "-bundle", store_->bundle(record_.id), "serve"},
                    .descriptors = {{.source = listener.get(), .target = runtime::kShimListener},
                                    {.source = lock->fd(), .target = runtime::kShimLock}},
                    .environment = std::nullopt,
                    .working_directory = "/",
                    .new_session = true}));
    connect(store_->socket_path(record_.id));
  }

  void connect(const std::string& path) {
    client_ = *ttrpc::Client::connect(*loop_, path);
    task_.emplace(*client_);
  }

  std::string fifo(const std::string& name) {
    std::string path = store_->paths().container_run(record_.id) + "/" + name;
    EXPECT_THAT(os::make_fifo(path), IsOk());
    return path;
  }

  task_api::CreateTaskRequest create_request() {
    return shim::create_request(record_, store_->bundle(record_.id));
  }

  template <class Request>
  Request of(const std::string& exec_id = "") {
    return shim::request_of<Request>(record_.id, exec_id);
  }

  void start() {
    const auto created = task_->create_and_wait(create_request());
    ASSERT_THAT(created, IsOk());
    vm_ = static_cast<pid_t>(created->pid());
    ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
  }

  std::uint32_t wait(const std::string& exec_id = "") {
    const auto exit = task_->wait_and_wait(of<task_api::WaitRequest>(exec_id));
    EXPECT_THAT(exit, IsOk());
    return exit ? exit->exit_status() : 999;
  }

  void kill(std::uint32_t signal) {
    task_api::KillRequest request;
    request.set_id(record_.id);
    request.set_signal(signal);
    EXPECT_THAT(task_->kill_and_wait(request), IsOk());
  }

  Result<> exec(const std::string& id, const std::vector<std::string>& arguments,
                const std::string& out = "") {
    oci::Process process = *oci::default_spec().process;
    process.args = arguments;
    process.env = {"PATH=/bin"};
    auto request = of<task_api::ExecProcessRequest>(id);
    request.set_stdout(out);
    request.mutable_spec()->set_value(*process.serialise());
    BH_TRY(task_->exec_and_wait(request));
    BH_TRY(task_->start_and_wait(of<task_api::StartRequest>(id)));
    return {};
  }

  std::unique_ptr<os::EventLoop> loop_;
  std::optional<runtime::ContainerStore> store_;
  runtime::ContainerRecord record_;
  std::optional<os::Process> shim_;
  std::unique_ptr<ttrpc::Client> client_;
  std::optional<task_api::TaskClient> task_;
  pid_t vm_ = 0;
};

TEST_F(ShimTest, RunsAProcessAndGivesEverythingBack) {
  make({"sh", "-c", "echo out; echo err >&2; exit 7"}, false, "bulkhead");
  start();
  EXPECT_EQ(wait(), 7);
  const auto state = store_->load_state(record_.id);
  EXPECT_EQ(state->status, runtime::ContainerStatus::Stopped);
  EXPECT_EQ(state->exit_code, 7);
  ASSERT_THAT(store_->wait_for_end(record_.id, seconds(20)), IsOk());
  EXPECT_TRUE(ends(vm_));
  EXPECT_FALSE(os::path_exists(store_->paths().container_run(record_.id)));
  const std::string log = *os::read_file(store_->log_path(record_.id));
  EXPECT_THAT(log, HasSubstr(" stdout F out\n"));
  EXPECT_THAT(log, HasSubstr(" stderr F err\n"));
}

TEST_F(ShimTest, ABurstBeforeTheExitArrivesWhole) {
  make({"sh", "-c", "head -c 8388608 /dev/zero | tr '\\0' x; exit 3"}, true);
  auto request = create_request();
  request.set_stdout(fifo("stdout"));
  const os::UniqueFd reader = *os::open_file(request.stdout(), O_RDONLY | O_NONBLOCK);
  ASSERT_THAT(task_->create_and_wait(request), IsOk());
  ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
  std::optional<std::uint32_t> exit;
  task_->wait(of<task_api::WaitRequest>(), {},
              [&](const Result<task_api::WaitResponse>& result) { exit = result->exit_status(); });
  std::size_t received = 0;
  bool only_x = true;
  const auto take = [&] {
    std::array<std::byte, 65536> buffer{};
    const auto got = os::try_read(reader.get(), buffer);
    if (!got || !*got) {
      return;
    }
    received += **got;
    for (const std::byte one : std::span(buffer).first(**got)) {
      only_x = only_x && one == std::byte{'x'};
    }
  };
  const auto deadline = std::chrono::steady_clock::now() + seconds(120);
  while (!exit && std::chrono::steady_clock::now() < deadline) {
    take();
    ASSERT_THAT(loop_->run_once(milliseconds(0)), IsOk());
  }
  for (int i = 0; i < 200; ++i) {
    take();  // what the FIFO still held when the exit was told
  }
  EXPECT_EQ(exit, 3);
  EXPECT_EQ(received, 8388608U);
  EXPECT_TRUE(only_x);
}

TEST_F(ShimTest, InputReachesTheProcessAndCloseIoEndsIt) {
  make({"sh", "-c", "cat; echo end"}, true);
  auto request = create_request();
  request.set_stdin(fifo("stdin"));
  request.set_stdout(fifo("stdout"));
  const os::UniqueFd reader = *os::open_file(request.stdout(), O_RDONLY | O_NONBLOCK);
  ASSERT_THAT(task_->create_and_wait(request), IsOk());
  const os::UniqueFd writer = *os::open_file(request.stdin(), O_WRONLY | O_NONBLOCK);
  ASSERT_THAT(os::write_all(writer.get(), as_bytes("typed\n")), IsOk());
  ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
  auto close = of<task_api::CloseIORequest>();
  close.set_stdin(true);
  ASSERT_THAT(task_->close_io_and_wait(close), IsOk());
  EXPECT_EQ(wait(), 0);
  EXPECT_THAT(os::read_to_end(reader.get(), 1000), IsOkAnd("typed\nend\n"));
}

TEST_F(ShimTest, AProgramThatIsAbsentIs127) {
  make({"no-such-program"}, true);
  ASSERT_THAT(task_->create_and_wait(create_request()), IsOk());
  const auto started = task_->start_and_wait(of<task_api::StartRequest>());
  ASSERT_THAT(started, IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(started.error().message(), HasSubstr("no-such-program"));
  const auto state = task_->state_and_wait(of<task_api::StateRequest>());
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->status(), containerd::v1::types::STOPPED);
  EXPECT_EQ(state->exit_status(), 127);
}

TEST_F(ShimTest, ASlowReaderOfOneProcessHoldsUpNobodyElse) {
  make({"sleep", "1000"}, true);
  start();
  const std::string path = fifo("slow");
  const os::UniqueFd reader = *os::open_file(path, O_RDONLY | O_NONBLOCK);
  ASSERT_THAT(exec("slow", {"cat", "/dev/zero"}, path), IsOk());
  std::this_thread::sleep_for(milliseconds(300));
  for (int i = 0; i < 5; ++i) {
    const std::string id = "e" + std::to_string(i);
    ASSERT_THAT(exec(id, {"sh", "-c", "exit 4"}), IsOk());
    EXPECT_EQ(wait(id), 4);
  }
  kill(SIGKILL);
  EXPECT_EQ(wait(), 137);
}

TEST_F(ShimTest, KillOfTheMachineIs137WithItsCause) {
  make({"sleep", "1000"}, false, "bulkhead");
  start();
  ASSERT_EQ(::kill(vm_, SIGKILL), 0);
  EXPECT_EQ(wait(), 137);
  ASSERT_THAT(store_->wait_for_end(record_.id, seconds(20)), IsOk());
  const auto state = store_->load_state(record_.id);
  EXPECT_EQ(state->exit_code, 137);
  EXPECT_THAT(state->error, HasSubstr("signal 9"));
  EXPECT_EQ(state->address, "");
}

TEST_F(ShimTest, KillOfTheShimTakesTheMachineAlong) {
  make({"sleep", "1000"});
  start();
  ASSERT_THAT(shim_->kill(SIGKILL), IsOk());
  ASSERT_THAT(shim_->wait(), IsOk());
  EXPECT_TRUE(ends(vm_));
  std::vector<std::string> released;
  const auto reaped = store_->reap_dead([&](const std::string& id) { released.push_back(id); });
  EXPECT_THAT(reaped, IsOkAnd(::testing::ElementsAre(record_.id)));
  EXPECT_THAT(released, ::testing::ElementsAre(record_.id));
  EXPECT_EQ(store_->load_state(record_.id)->exit_code, 137);
}

TEST_F(ShimTest, SigtermStopsTheContainerFirst) {
  make({"sh", "-c", "trap 'exit 5' TERM; while :; do sleep 1; done"});
  start();
  std::this_thread::sleep_for(milliseconds(500));
  ASSERT_THAT(shim_->kill(SIGTERM), IsOk());
  EXPECT_EQ(wait(), 5);
  EXPECT_THAT(shim_->wait(), IsOk());
  EXPECT_TRUE(ends(vm_));
}

TEST_F(ShimTest, ACallerThatDiesBeforeTheStartLeavesNothing) {
  make({"sleep", "1000"}, true);
  const auto created = task_->create_and_wait(create_request());
  ASSERT_THAT(created, IsOk());
  task_.reset();
  client_.reset();
  EXPECT_THAT(shim_->wait(), IsOk());
  EXPECT_TRUE(ends(static_cast<pid_t>(created->pid())));
  EXPECT_FALSE(os::path_exists(store_->bundle(record_.id)));
}

/// containerd's way: a bundle, `start`, an address on standard output and nothing else.
class ContainerdWayTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    if (!store_) {
      return;
    }
    bundle_ = kInstallation->directory + "/bundle";
    ASSERT_THAT(os::remove_tree(bundle_), IsOk());
    ASSERT_THAT(os::make_directories(bundle_, 0700), IsOk());
    oci::Spec spec = oci::default_spec();
    spec.process->args = {"sh", "-c", "exit 6"};
    spec.process->env = {"PATH=/bin"};
    ASSERT_THAT(os::write_file_atomically(bundle_ + "/config.json", *spec.serialise()), IsOk());
    record_.id = "web";
    record_.root = kInstallation->root;
  }

  os::CommandOutput shim(const std::string& action) {
    const std::string script = R"(cd "$1" && exec "$2" -namespace default -address /nowhere )"
                               R"(-publish-binary /nowhere -id web "$3")";
    return *os::run_command({"/bin/sh", "-c", script, "sh", bundle_, shim_program(), action});
  }

  void start_shim() {
    const os::CommandOutput output = shim("start");
    ASSERT_EQ(output.status.shell_code(), 0) << output.err;
    EXPECT_EQ(output.err, "");
    ASSERT_TRUE(output.out.starts_with("unix:///")) << output.out;
    address_ = output.out.substr(std::string_view("unix://").size());
    EXPECT_LE(address_.size(), 106);
    EXPECT_THAT(os::read_file(bundle_ + "/address"), IsOkAnd(output.out));
    connect(address_);
  }

  std::string bundle_;
  std::string address_;
};

TEST_F(ContainerdWayTest, StartToShutdown) {
  start_shim();
  task_api::CreateTaskRequest request;
  request.set_id("web");
  request.set_bundle(bundle_);
  request.add_rootfs()->set_type("overlay");
  const auto refused = task_->create_and_wait(request);
  ASSERT_THAT(refused, IsError(ErrorCode::Unsupported));
  EXPECT_THAT(refused.error().message(), HasSubstr("overlay"));
  request.mutable_rootfs(0)->set_type("bulkhead/ext4");
  request.mutable_rootfs(0)->set_source(kInstallation->root);
  ASSERT_THAT(task_->create_and_wait(request), IsOk());
  ASSERT_THAT(task_->start_and_wait(of<task_api::StartRequest>()), IsOk());
  EXPECT_EQ(wait(), 6);
  const auto deleted = task_->delete__and_wait(of<task_api::DeleteRequest>());
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(deleted->exit_status(), 6);
  EXPECT_FALSE(os::path_exists(bundle_ + "/scratch.ext4"));
  bool closed = false;
  client_->on_closed([&](const Error&) { closed = true; });
  task_api::ShutdownRequest shutdown;
  shutdown.set_id("web");
  std::ignore = task_->shutdown_and_wait(shutdown);
  for (int i = 0; i < 500 && !closed; ++i) {
    ASSERT_THAT(loop_->run_once(milliseconds(20)), IsOk());
  }
  EXPECT_TRUE(closed);
  // containerd runs it after that, in any case, and perhaps twice.
  for (int i = 0; i < 2; ++i) {
    const os::CommandOutput output = shim("delete");
    EXPECT_EQ(output.status.shell_code(), 0) << output.err;
    task_api::DeleteResponse response;
    EXPECT_TRUE(response.ParseFromString(output.out));
    EXPECT_EQ(response.exit_status(), 137);
  }
  EXPECT_FALSE(os::path_exists(address_));
}

TEST_F(ContainerdWayTest, DeleteEndsAShimThatLives) {
  start_shim();
  task_api::CreateTaskRequest request;
  request.set_id("web");
  request.set_bundle(bundle_);
  request.add_rootfs()->set_type("bulkhead/ext4");
  request.mutable_rootfs(0)->set_source(kInstallation->root);
  const auto created = task_->create_and_wait(request);
  ASSERT_THAT(created, IsOk());
  EXPECT_NE(shim("start").status.shell_code(), 0);  // one shim for a bundle
  const os::CommandOutput output = shim("delete");
  EXPECT_EQ(output.status.shell_code(), 0) << output.err;
  EXPECT_TRUE(ends(static_cast<pid_t>(created->pid())));
  EXPECT_FALSE(os::path_exists(address_));
  EXPECT_FALSE(os::path_exists(bundle_ + "/scratch.ext4"));
}

}  // namespace
}  // namespace bulkhead
