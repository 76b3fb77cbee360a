// The jail from outside: what the drill inside it found, how it ends, what it leaves.

#include "bulkhead/jail/jail.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ratio>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/base/text.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::jail {
namespace {

using testing::HasSubstr;

constexpr uid_t kUser = 0x6fff0000;

std::string build_directory() {
  const char* directory = std::getenv("BULKHEAD_BUILD_DIR");
  return directory == nullptr ? "." : directory;
}

std::string helper() { return build_directory() + "/libexec/bulkhead-jail"; }

JailSpec drill_spec(int output) {
  return {.arguments = {"/drill", "7"},
          .environment = {},
          .descriptors = {{.source = output, .target = 1}, {.source = output, .target = 2}},
          .binds = {{.source = build_directory() + "/tests/jail-drill", .target = "/drill"}},
          .devices = {},
          .host_id = kUser,
          .limits = {}};
}

/// The drill that only waits: no argument makes it end at once, so the jail runs `sleep` of
/// busybox's kind instead: a read from a pipe that never speaks.
class JailTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root";
    }
  }
};

TEST_F(JailTest, HoldsTheDrill) {
  // Things of the host that must not reach the jail: descriptors without close-on-exec, an abstract
  // socket, the environment, supplementary groups.
  std::array<os::UniqueFd, 200> leaks;
  for (os::UniqueFd& leak : leaks) {
    leak = os::UniqueFd(::open("/", O_RDONLY | O_DIRECTORY));
  }
  const os::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_TRUE(listener.is_open());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, "\0bulkhead-jail-drill", 20);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                   static_cast<socklen_t>(sizeof(sa_family_t) + 20)),
            0);
  ASSERT_EQ(::listen(listener.get(), 8), 0);

  auto pipe = os::make_pipe();
  ASSERT_THAT(pipe, IsOk());
  auto process = launch(helper(), drill_spec(pipe->write_end.get()));
  ASSERT_THAT(process, IsOk());
  pipe->write_end.reset();
  const auto output = os::read_to_end(pipe->read_end.get(), 1U << 20U);
  ASSERT_THAT(output, IsOk());
  std::string escapes;
  for (const std::string_view line : split(*output, '\n')) {
    if (line.starts_with("ESCAPED")) {
      escapes += fmt::format("{}\n", line);
    }
  }
  EXPECT_EQ(escapes, "");
  EXPECT_THAT(*output, HasSubstr("done 0\n"));
  const auto status = process->wait();
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(status->code, 0) << status->describe();
}

TEST_F(JailTest, RunsAsItsUserOnTheHostInNamespacesOfItsOwn) {
  auto pipe = os::make_pipe();
  ASSERT_THAT(pipe, IsOk());
  // Fills the pipe and waits: it is alive while this looks at it.
  JailSpec spec = drill_spec(pipe->write_end.get());
  int size = ::fcntl(pipe->write_end.get(), F_SETPIPE_SZ, 4096);
  ASSERT_GT(size, 0);
  const std::string filling(static_cast<std::size_t>(size), 'x');
  ASSERT_THAT(os::write_all(pipe->write_end.get(), as_bytes(filling)), IsOk());
  auto process = launch(helper(), spec);
  ASSERT_THAT(process, IsOk());
  const std::string proc = fmt::format("/proc/{}/", process->pid());
  const auto status = os::read_file(proc + "status");
  ASSERT_THAT(status, IsOk());
  EXPECT_THAT(*status, HasSubstr(fmt::format("Uid:\t{0}\t{0}\t{0}\t{0}", kUser)));
  EXPECT_THAT(*status, HasSubstr(fmt::format("Gid:\t{0}\t{0}\t{0}\t{0}", kUser)));
  EXPECT_THAT(*status, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(*status, HasSubstr("CapBnd:\t0000000000000000"));
  EXPECT_THAT(*status, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(*status, HasSubstr("Seccomp:\t2"));
  EXPECT_THAT(*status, HasSubstr(fmt::format("PPid:\t{}", ::getpid())));
  for (const char* kind : {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
    EXPECT_NE(*os::read_link(proc + "ns/" + kind),
              *os::read_link(std::string("/proc/self/ns/") + kind))
        << kind;
  }
  const auto mounts = os::read_file(proc + "mountinfo");
  ASSERT_THAT(mounts, IsOk());
  EXPECT_THAT(*mounts, HasSubstr(" / / ro,nosuid,noexec"));
  EXPECT_EQ(std::ranges::count(*mounts, '\n'), 2) << *mounts;
  ASSERT_THAT(process->kill(SIGKILL), IsOk());
  EXPECT_EQ(process->wait()->signal, SIGKILL);
}

/// A directory for shares, with what the tests need in it.
class SharesTest : public JailTest {
 protected:
  void SetUp() override {
    JailTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    for (const char* name : {"/open", "/closed"}) {
      ASSERT_THAT(os::make_directories(directory_ + name), IsOk());
    }
    for (const char* name : {"/open/theirs", "/closed/secret", "/file", "/sibling"}) {
      ASSERT_THAT(os::write_file_atomically(directory_ + name, "content\n", 0600), IsOk());
    }
    ASSERT_EQ(::chown((directory_ + "/open/theirs").c_str(), 1000, 1001), 0);
  }

  void TearDown() override {
    if (!IsSkipped()) {
      EXPECT_THAT(os::remove_tree(directory_), IsOk());
    }
  }

  /// What a shell in a jail with the three shares writes.
  std::string run(const std::string& script) {
    auto pipe = os::make_pipe();
    EXPECT_THAT(pipe, IsOk());
    const int output = pipe->write_end.get();
    JailSpec spec{
        .arguments = {"/busybox", "sh", "-c", script},
        .environment = {},
        .descriptors = {{.source = output, .target = 1}, {.source = output, .target = 2}},
        .binds = {{.source = "/bin/busybox", .target = "/busybox"}},
        .shares = {{.source = directory_ + "/open", .target = "/shares/0", .is_read_only = false},
                   {.source = directory_ + "/closed", .target = "/shares/1"},
                   {.source = directory_ + "/file", .target = "/shares/2"}},
        .directories = {"/shares"},
        .devices = {},
        .host_id = kUser,
        .limits = {.file_size_bytes = 1U << 20U}};
    auto process = launch(helper(), spec);
    EXPECT_THAT(process, IsOk());
    pipe->write_end.reset();
    auto text = os::read_to_end(pipe->read_end.get(), 1U << 20U);
    EXPECT_THAT(text, IsOk());
    EXPECT_THAT(process->wait(), IsOk());
    return *text;
  }

  std::string directory_ = testing::TempDir() + "bulkhead-shares-XXXXXX";
};

TEST_F(SharesTest, FilesHaveTheirOwnersOnBothSides) {
  EXPECT_EQ(run("b=/busybox; cd /shares/0; $b stat -c '%u %g %a' theirs; $b cat theirs;"
                "echo more >>theirs; echo new >new; $b chown 77:88 new; $b chmod 640 new;"
                "$b mkfifo fifo; $b stat -c '%u %g %a %F' new fifo"),
            "1000 1001 600\ncontent\n77 88 640 regular file\n"
            "2147483648 2147483648 666 fifo\n");
  EXPECT_THAT(os::read_file(directory_ + "/open/theirs"), IsOkAnd("content\nmore\n"));
  struct stat info{};
  ASSERT_EQ(::stat((directory_ + "/open/new").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 77);
  EXPECT_EQ(info.st_gid, 88);
}

TEST_F(SharesTest, ReadOnlyIsReadOnlyForTheJailItself) {
  const std::string said =
      run("b=/busybox; $b cat /shares/1/secret /shares/2; echo x >>/shares/1/secret;"
          "echo x >/shares/1/new; echo x >>/shares/2; $b rm /shares/1/secret;"
          "$b chmod 777 /shares/1 /shares/2; $b mount -o remount,rw /shares/1");
  EXPECT_THAT(said, testing::StartsWith("content\ncontent\n"));
  EXPECT_THAT(said, HasSubstr("Read-only file system"));
  EXPECT_THAT(os::read_file(directory_ + "/closed/secret"), IsOkAnd("content\n"));
  EXPECT_THAT(os::read_file(directory_ + "/file"), IsOkAnd("content\n"));
  EXPECT_THAT(os::read_file(directory_ + "/closed/new"), IsError(ErrorCode::NotFound));
  struct stat info{};
  ASSERT_EQ(::stat((directory_ + "/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600);
}

TEST_F(SharesTest, NothingElseIsReached) {
  ASSERT_EQ(::symlink("/etc/passwd", (directory_ + "/open/link").c_str()), 0);
  ASSERT_EQ(::symlink("../../../etc/passwd", (directory_ + "/open/up").c_str()), 0);
  EXPECT_EQ(run("b=/busybox; cd /shares; echo *; for f in link up ../../sibling ../closed/secret;"
                "do $b test -e 0/$f && echo found $f; done; $b mknod 0/memory c 1 1 2>/dev/null &&"
                "echo made; $b test -e 0/memory && echo there"),
            "0 1 2\n");
}

TEST_F(SharesTest, ProcessFilesAreTheJailsOwn) {
  const std::string said =
      run("b=/busybox; $b ls -l /proc/self/fd/1 >/dev/null || echo no descriptor; cd /proc;"
          "for f in *; do case $f in [0-9]*|self|thread-self) ;; *) echo $f;; esac; done;"
          "set -- [0-9]*; [ $# = 1 ] || echo $*; echo 1 >/proc/self/oom_score_adj");
  EXPECT_THAT(said, HasSubstr("Read-only file system"));
  EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
}

TEST_F(SharesTest, AProgramOfAShareIsNotExecutedByTheJail) {
  ASSERT_EQ(::system(("cp /bin/busybox " + directory_ + "/open/program").c_str()), 0);
  EXPECT_THAT(run("/shares/0/program true"), HasSubstr("Permission denied"));
}

TEST_F(JailTest, NamesWhatIsMissingAndLeavesNothing) {
  JailSpec spec = drill_spec(1);
  spec.binds.push_back({.source = "/nonexistent/library.so", .target = "/lib/library.so"});
  const auto no_bind = launch(helper(), spec);
  ASSERT_THAT(no_bind, IsError(ErrorCode::NotFound));
  EXPECT_THAT(no_bind.error().message(), HasSubstr("/nonexistent/library.so"));

  spec = drill_spec(1);
  spec.arguments.front() = "/other";
  const auto no_program = launch(helper(), spec);
  ASSERT_THAT(no_program, IsError(ErrorCode::NotFound));
  EXPECT_THAT(no_program.error().message(), HasSubstr("/other"));

  EXPECT_THAT(launch("/nonexistent/bulkhead-jail", drill_spec(1)), IsError(ErrorCode::NotFound));
  // Everything that was started has been reaped.
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(JailTest, DiesWithItsCaller) {
  auto pid_pipe = os::make_pipe();
  auto output = os::make_pipe();
  ASSERT_THAT(pid_pipe, IsOk());
  ASSERT_THAT(output, IsOk());
  const pid_t caller = ::fork();
  if (caller == 0) {
    const int size = ::fcntl(output->write_end.get(), F_SETPIPE_SZ, 4096);
    const std::string filling(static_cast<std::size_t>(size), 'x');
    std::ignore = os::write_all(output->write_end.get(), as_bytes(filling));
    auto process = launch(helper(), drill_spec(output->write_end.get()));
    const pid_t pid = process ? process->pid() : 0;
    std::ignore = os::write_all(pid_pipe->write_end.get(), object_bytes(pid));
    ::pause();
    ::_exit(0);
  }
  pid_t jailed = 0;
  ASSERT_THAT(os::read_some(pid_pipe->read_end.get(), object_bytes(jailed)), IsOk());
  ASSERT_GT(jailed, 0);
  auto process = os::Process::adopt(jailed);
  ASSERT_THAT(process, IsOk());
  ::kill(caller, SIGKILL);
  ::waitpid(caller, nullptr, 0);
  EXPECT_THAT(os::wait_readable(process->pidfd(), std::chrono::seconds(5)), IsOkAnd(true));
}

TEST_F(JailTest, TakesMilliseconds) {
  std::vector<double> milliseconds;
  for (int i = 0; i < 20; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    auto process = launch(helper(), drill_spec(1));
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    ASSERT_THAT(process, IsOk());
    ASSERT_THAT(process->kill(SIGKILL), IsOk());
    ASSERT_THAT(process->wait(), IsOk());
    milliseconds.push_back(took.count());
  }
  std::ranges::sort(milliseconds);
  RecordProperty("median_ms", fmt::format("{:.2f}", milliseconds[10]));
  fmt::print("jail: median {:.2f} ms, least {:.2f} ms\n", milliseconds[10], milliseconds[0]);
}

}  // namespace
}  // namespace bulkhead::jail
