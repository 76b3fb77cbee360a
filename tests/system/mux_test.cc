// The multiplexer over a real virtio-serial port, with the module's guest half as PID 1.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/base/text.h"
#include "bulkhead/mux/connection.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::mux {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// Generous: the machine is emulated on a busy host.
constexpr auto kPatience = seconds(60);
constexpr std::size_t kGenerated = 64U << 20U;

std::string environment_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

class MuxSystemTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string kernel = environment_or("BULKHEAD_KERNEL", "");
    if (!os::path_exists(kernel)) {
      GTEST_SKIP() << "no kernel at '" << kernel << "'";
    }
    directory_ = ::testing::TempDir() + "bulkhead-mux-" + std::to_string(::getpid());
    ASSERT_THAT(os::make_directories(directory_), IsOk());
    loop_ = *os::EventLoop::create();
    const std::string kernel_arguments =
        "console=hvc0 quiet panic=-1 reboot=t mitigations=off nolapic_timer noreplace-smp "
        "no_timer_check tsc=reliable";
    auto spawned = os::spawn(
        {.arguments = {"qemu-system-x86_64",
                       "-nodefaults",
                       "-no-user-config",
                       "-display",
                       "none",
                       "-no-reboot",
                       "-M",
                       "microvm,acpi=off,pcie=off,x-option-roms=off,isa-serial=off",
                       "-accel",
                       "tcg",
                       "-m",
                       "128M",
                       "-global",
                       "virtio-mmio.force-legacy=false",
                       "-kernel",
                       kernel,
                       "-initrd",
                       environment_or("BULKHEAD_BUILD_DIR", ".") + "/tests/mux-init.cpio",
                       "-append",
                       kernel_arguments,
                       "-chardev",
                       fmt::format("socket,id=agent,path={},server=on,wait=off", socket()),
                       "-device",
                       "virtio-serial-device,id=serial,max_ports=2",
                       "-chardev",
                       fmt::format("file,id=console,path={}/console", directory_),
                       "-device",
                       "virtconsole,bus=serial.0,nr=0,chardev=console",
                       "-device",
                       "virtserialport,bus=serial.0,nr=1,chardev=agent,name=org.bulkhead.agent.0"},
         .descriptors = {{.source = 2, .target = 2}}});
    ASSERT_THAT(spawned, IsOk());
    qemu_.emplace(*std::move(spawned));
    connect();
  }

  void TearDown() override {
    connection_.reset();
    if (qemu_) {
      EXPECT_THAT(qemu_->kill(SIGKILL), IsOk());
      EXPECT_THAT(qemu_->wait(), IsOk());
    }
    if (!directory_.empty()) {
      EXPECT_THAT(os::remove_tree(directory_), IsOk());
    }
  }

  [[nodiscard]] std::string socket() const { return directory_ + "/agent.sock"; }

  void connect() {
    connection_.reset();
    is_ready_ = false;
    next_ = 1;
    std::optional<os::UniqueFd> fd;
    run_until([&] {
      if (auto connected = os::connect_unix(socket())) {
        fd = *std::move(connected);
      }
      return fd.has_value();
    });
    connection_ =
        *Connection::create(*loop_, *std::move(fd), Role::Host,
                            {.on_ready = [this] { is_ready_ = true; },
                             .on_open = nullptr,
                             .on_broken = [](const Error& error) { FAIL() << error.message(); }});
  }

  template <class Condition>
  void run_until(Condition condition) {
    const auto limit = steady_clock::now() + kPatience;
    while (!condition() && steady_clock::now() < limit) {
      ASSERT_THAT(loop_->run_once(milliseconds(20)), IsOk());
    }
    ASSERT_TRUE(condition());
  }

  /// What a stream answers to `command` and `size` bytes, to its end.
  std::string ask(char command, std::size_t size = 0) {
    const StreamId id = next_;
    next_ += 2;
    Session& session = connection_->session();
    std::string answer;
    std::size_t sent = 0;
    bool ended = false;
    EXPECT_THAT(session.open(id, {.on_data =
                                      [&](Bytes bytes) {
                                        answer += as_text(bytes);
                                        session.consume(id, bytes.size());
                                      },
                                  .on_end = [&] { ended = true; },
                                  .on_writable =
                                      [&] {
                                        const MutableBytes room = session.reserve(id, size - sent);
                                        std::ranges::fill(room, std::byte{'x'});
                                        session.commit(id, room.size());
                                        sent += room.size();
                                        if (sent < size) {
                                          session.want_write(id);
                                        } else {
                                          session.end(id);
                                        }
                                      },
                                  .on_reset = nullptr}),
                IsOk());
    EXPECT_THAT(session.write(id, as_bytes(std::string(1, command))), IsOkAnd(1U));
    if (size != 0) {
      session.want_write(id);
    } else {
      session.end(id);
    }
    run_until([&] { return ended; });
    return answer;
  }

  std::string directory_;
  std::unique_ptr<os::EventLoop> loop_;
  std::optional<os::Process> qemu_;
  std::unique_ptr<Connection> connection_;
  bool is_ready_ = false;
  StreamId next_ = 1;
};

double rate(std::size_t bytes, steady_clock::time_point start) {
  return static_cast<double>(bytes) / 1e6 /
         std::chrono::duration<double>(steady_clock::now() - start).count();
}

TEST_F(MuxSystemTest, CarriesStreamsBothWays) {
  EXPECT_EQ(ask('e', 10), std::string(10, 'x'));  // sent before the guest has even booted
  EXPECT_TRUE(is_ready_);
  const auto start = steady_clock::now();
  for (int i = 0; i < 100; ++i) {
    ask('c');
  }
  std::printf("open, ask, answer, end: %.0f µs\n",
              std::chrono::duration<double>(steady_clock::now() - start).count() * 1e4);
  EXPECT_EQ(ask('e', 3'000'000), std::string(3'000'000, 'x'));
}

TEST_F(MuxSystemTest, MovesBulkData) {
  ask('c');
  auto start = steady_clock::now();
  EXPECT_EQ(ask('s', kGenerated), std::to_string(kGenerated));
  std::printf("host to guest: %.0f MB/s\n", rate(kGenerated, start));
  start = steady_clock::now();
  const std::string data = ask('g');
  std::printf("guest to host: %.0f MB/s\n", rate(data.size(), start));
  ASSERT_EQ(data.size(), kGenerated);
  for (std::size_t i = 0; i < data.size(); ++i) {
    ASSERT_EQ(std::byte(data[i]), std::byte(i >> 12U)) << i;
  }
}

TEST_F(MuxSystemTest, ADisconnectedHostCostsNothingAndMayComeBack) {
  ask('c');
  std::size_t received = 0;
  Session& session = connection_->session();
  // Disconnected in the middle of frames in both directions.
  ASSERT_THAT(session.open(1001, {.on_data =
                                      [&](Bytes bytes) {
                                        received += bytes.size();
                                        session.consume(1001, bytes.size());
                                      },
                                  .on_end = nullptr,
                                  .on_writable = nullptr,
                                  .on_reset = nullptr}),
              IsOk());
  ASSERT_THAT(session.write(1001, as_bytes("g")), IsOk());
  run_until([&] { return received > 1'000'000; });
  for (int round = 0; round < 3; ++round) {
    connect();
    const auto before = parse_decimal<std::int64_t>(ask('c'));
    EXPECT_TRUE(is_ready_);
    connection_.reset();
    const auto limit = steady_clock::now() + milliseconds(500);
    while (steady_clock::now() < limit) {
      ASSERT_THAT(loop_->run_once(milliseconds(50)), IsOk());
    }
    connect();
    const auto after = parse_decimal<std::int64_t>(ask('c'));
    ASSERT_TRUE(before && after);
    EXPECT_LT(*after - *before, 150'000);  // microseconds in half a second
    std::printf("processor time of 500 ms without a host: %ld µs\n", *after - *before);
  }
}

}  // namespace
}  // namespace bulkhead::mux
