#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/pseudo_terminal.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A directory of the test's own.
class OsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "bulkhead-os-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }

  void TearDown() override { EXPECT_THAT(remove_tree(directory_), IsOk()); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  std::string directory_;
};

TEST_F(OsTest, WriteFileAtomicallyReplacesAndLeavesNoTemporary) {
  ASSERT_THAT(write_file_atomically(path("a"), "one"), IsOk());
  ASSERT_THAT(write_file_atomically(path("a"), "two", 0600), IsOk());
  EXPECT_THAT(read_file(path("a")), IsOkAnd(std::string("two")));
  EXPECT_THAT(list_directory(directory_), IsOkAnd(ElementsAre("a")));
}

TEST_F(OsTest, ReadFileRefusesMoreThanTheLimit) {
  ASSERT_THAT(write_file_atomically(path("a"), std::string(100, 'x')), IsOk());
  EXPECT_THAT(read_file(path("a"), 99), IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(read_file(path("a"), 100), IsOk());
  EXPECT_THAT(read_file(path("b")), IsError(ErrorCode::NotFound));
}

TEST_F(OsTest, OpenInRootKeepsLinksInside) {
  ASSERT_THAT(make_directories(path("root/etc")), IsOk());
  ASSERT_THAT(write_file_atomically(path("root/etc/passwd"), "inside"), IsOk());
  ASSERT_EQ(::symlink("/etc/passwd", path("root/link").c_str()), 0);
  ASSERT_EQ(::symlink("../../../../etc/passwd", path("root/up").c_str()), 0);
  const auto root = open_file(path("root"), O_PATH | O_DIRECTORY);
  ASSERT_THAT(root, IsOk());
  for (const char* name : {"link", "up", "/etc/passwd", "../etc/passwd"}) {
    const auto file = open_in_root(root->get(), name, O_RDONLY);
    ASSERT_THAT(file, IsOk()) << name;
    EXPECT_THAT(read_to_end(file->get(), 100), IsOkAnd(std::string("inside")));
  }
  EXPECT_FALSE(open_beneath(root->get(), "link", O_RDONLY).has_value());
  EXPECT_FALSE(open_beneath(root->get(), "../x", O_RDONLY).has_value());
  EXPECT_THAT(open_beneath(root->get(), "etc/passwd", O_RDONLY), IsOk());
}

TEST_F(OsTest, RemoveTreeDoesNotFollowLinks) {
  ASSERT_THAT(make_directories(path("keep")), IsOk());
  ASSERT_THAT(write_file_atomically(path("keep/file"), "x"), IsOk());
  ASSERT_THAT(make_directories(path("tree/deep/er")), IsOk());
  ASSERT_EQ(::symlink(path("keep").c_str(), path("tree/deep/link").c_str()), 0);
  EXPECT_THAT(remove_tree(path("tree")), IsOk());
  EXPECT_FALSE(path_exists(path("tree")));
  EXPECT_TRUE(path_exists(path("keep/file")));
  EXPECT_THAT(remove_tree(path("absent/too")), IsOk());
}

TEST_F(OsTest, FileLockExcludesAndIsReleased) {
  {
    const auto lock = FileLock::acquire(path("lock"));
    ASSERT_THAT(lock, IsOk());
    const auto second = FileLock::try_acquire(path("lock"));
    ASSERT_THAT(second, IsOk());
    EXPECT_FALSE(second->has_value());
  }
  const auto third = FileLock::try_acquire(path("lock"));
  ASSERT_THAT(third, IsOk());
  EXPECT_TRUE(third->has_value());
}

TEST(Process, RunsACommandAndReportsItsStatus) {
  const auto result = run_command({"sh", "-c", "cat; echo oops >&2; exit 3"}, "hello");
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->out, "hello");
  EXPECT_EQ(result->err, "oops\n");
  EXPECT_EQ(result->status.code, 3);
  EXPECT_EQ(result->status.shell_code(), 3);
}

TEST(Process, DescribesASignal) {
  const auto result = run_command({"sh", "-c", "kill -TERM $$"});
  ASSERT_THAT(result, IsOk());
  EXPECT_EQ(result->status.shell_code(), 143);
  EXPECT_THAT(result->status.describe(), HasSubstr("signal 15"));
}

TEST(Process, AnAbsentProgramIsNotFound) {
  EXPECT_THAT(spawn({.arguments = {"/no/such/program"}}), IsError(ErrorCode::NotFound));
}

TEST(Process, TheChildHasOnlyTheNamedDescriptors) {
  const auto leak = make_pipe();
  ASSERT_THAT(leak, IsOk());
  ASSERT_THAT(set_inheritable(leak->read_end.get()), IsOk());
  const auto result = run_command({"ls", "/proc/self/fd"});
  ASSERT_THAT(result, IsOk());
  // 3 is the directory that ls itself reads.
  EXPECT_EQ(result->out, "0\n1\n2\n3\n");
}

TEST(EventLoop, RunsTimersInOrderAndCancels) {
  const auto loop = EventLoop::create();
  ASSERT_THAT(loop, IsOk());
  std::vector<int> order;
  (*loop)->after(std::chrono::milliseconds(2), [&] {
    order.push_back(2);
    (*loop)->stop();
  });
  (*loop)->after(std::chrono::milliseconds(1), [&] { order.push_back(1); });
  const auto cancelled = (*loop)->after(std::chrono::milliseconds(0), [&] { order.push_back(0); });
  (*loop)->cancel(cancelled);
  ASSERT_THAT((*loop)->run(), IsOk());
  EXPECT_THAT(order, ElementsAre(1, 2));
}

TEST(EventLoop, GoesOnAfterAStop) {
  const auto loop = EventLoop::create();
  ASSERT_THAT(loop, IsOk());
  (*loop)->after(std::chrono::milliseconds(0), [&] { (*loop)->stop(); });
  ASSERT_THAT((*loop)->run(), IsOk());
  bool called = false;
  (*loop)->post([&] { called = true; });
  ASSERT_THAT((*loop)->run_once(std::chrono::milliseconds(1000)), IsOk());
  EXPECT_TRUE(called);
}

TEST(EventLoop, AStopLosesNoEdge) {
  const auto loop = EventLoop::create();
  ASSERT_THAT(loop, IsOk());
  std::array<Pipe, 2> pipes = {*make_pipe(O_NONBLOCK), *make_pipe(O_NONBLOCK)};
  std::array<int, 2> calls{};
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_THAT((*loop)->watch(pipes[i].read_end.get(), EPOLLIN | EPOLLET,
                               [&, i](std::uint32_t) {
                                 ++calls[i];
                                 (*loop)->stop();
                               }),
                IsOk());
    ASSERT_THAT(write_all(pipes[i].write_end.get(), as_bytes("x")), IsOk());
  }
  for (int i = 0; i < 4; ++i) {
    ASSERT_THAT((*loop)->run_once(std::chrono::milliseconds(0)), IsOk());
  }
  EXPECT_THAT(calls, ElementsAre(1, 1));
}

TEST(EventLoop, PostWakesItFromAnotherThread) {
  const auto loop = EventLoop::create();
  ASSERT_THAT(loop, IsOk());
  const std::jthread other([&] { (*loop)->post([&] { (*loop)->stop(); }); });
  EXPECT_THAT((*loop)->run(), IsOk());
}

TEST(EventLoop, ACallbackMayRemoveItsOwnWatch) {
  const auto loop = EventLoop::create();
  ASSERT_THAT(loop, IsOk());
  auto pipe = make_pipe(O_NONBLOCK);
  ASSERT_THAT(pipe, IsOk());
  int calls = 0;
  ASSERT_THAT((*loop)->watch(pipe->read_end.get(), EPOLLIN,
                             [&](std::uint32_t) {
                               ++calls;
                               (*loop)->unwatch(pipe->read_end.get());
                               pipe->read_end.reset();
                             }),
              IsOk());
  ASSERT_THAT(write_all(pipe->write_end.get(), as_bytes("x")), IsOk());
  ASSERT_THAT((*loop)->run_once(std::chrono::milliseconds(1000)), IsOk());
  ASSERT_THAT((*loop)->run_once(std::chrono::milliseconds(0)), IsOk());
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, ReportsAChildsEnd) {
  const auto loop = EventLoop::create();
  ASSERT_THAT(loop, IsOk());
  auto process = spawn({.arguments = {"sh", "-c", "exit 7"}});
  ASSERT_THAT(process, IsOk());
  std::optional<ExitStatus> seen;
  ASSERT_THAT((*loop)->on_exit(*process,
                               [&](ExitStatus status) {
                                 seen = status;
                                 (*loop)->stop();
                               }),
              IsOk());
  ASSERT_THAT((*loop)->run(), IsOk());
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->code, 7);
}

TEST_F(OsTest, SocketsPassDescriptors) {
  const auto pair = make_socket_pair();
  const auto pipe = make_pipe();
  ASSERT_THAT(pair, IsOk());
  ASSERT_THAT(pipe, IsOk());
  ASSERT_THAT(send_with_fds(pair->first.get(), as_bytes("x"), {pipe->write_end.get()}), IsOk());
  std::array<std::byte, 8> buffer{};
  const auto received = receive_with_fds(pair->second.get(), buffer);
  ASSERT_THAT(received, IsOk());
  ASSERT_EQ(received->size, 1U);
  ASSERT_EQ(received->fds.size(), 1U);
  ASSERT_THAT(write_all(received->fds.front().get(), as_bytes("hi")), IsOk());
  EXPECT_THAT(read_some(pipe->read_end.get(), buffer), IsOkAnd(2U));
}

TEST_F(OsTest, UnixSocketsArePrivateAndPathsBounded) {
  const auto listener = listen_unix(path("s"));
  ASSERT_THAT(listener, IsOk());
  struct stat info{};
  ASSERT_EQ(::stat(path("s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  const auto client = connect_unix(path("s"));
  ASSERT_THAT(client, IsOk());
  const auto accepted = accept_connection(listener->get());
  ASSERT_THAT(accepted, IsOk());
  ASSERT_TRUE(accepted->has_value());
  const auto peer = peer_credentials((*accepted)->get());
  ASSERT_THAT(peer, IsOk());
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_THAT(listen_unix(path(std::string(200, 'x'))), IsError(ErrorCode::Invalid));
}

TEST_F(OsTest, UnixSocketPathsMayBeLong) {
  const std::string directory = path(std::string(150, 'd'));
  ASSERT_THAT(make_directories(directory), IsOk());
  const auto listener = listen_unix(directory + "/socket");
  ASSERT_THAT(listener, IsOk());
  ASSERT_THAT(connect_unix(directory + "/socket"), IsOk());
  EXPECT_THAT(connect_unix(directory + "/other"), IsError(ErrorCode::NotFound));
}

Result<PseudoTerminal> open_host_terminal(TerminalSize size) {
  UniqueFd controller = BH_TRY(open_file("/dev/pts/ptmx", O_RDWR | O_NOCTTY));
  return open_pseudo_terminal(std::move(controller), size);
}

TEST(Terminal, PseudoTerminalHasTheAskedSize) {
  const auto terminal = open_host_terminal({.columns = 91, .rows = 33});
  if (!terminal && terminal.error().code() != ErrorCode::Io) {
    GTEST_SKIP() << "no pseudo terminals here: " << terminal.error().message();
  }
  ASSERT_THAT(terminal, IsOk());
  EXPECT_TRUE(is_terminal(terminal->terminal.get()));
  EXPECT_THAT(terminal_size(terminal->terminal.get()),
              IsOkAnd(TerminalSize{.columns = 91, .rows = 33}));
}

}  // namespace
}  // namespace bulkhead::os
