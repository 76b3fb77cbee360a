// Input and output relays between FIFOs and a multiplexer session whose other end is here too.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/agent_client/scripted_guest.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/mux/connection.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/container_log.h"
#include "bulkhead/runtime/input_relay.h"
#include "bulkhead/runtime/output_relay.h"
#include "bulkhead/runtime/stdio_target.h"

namespace bulkhead::runtime {
namespace {

using agent_client::run_until;
using std::chrono::milliseconds;

constexpr mux::StreamId kStream = 3;

class RelayTest : public ::testing::Test {
 protected:
  RelayTest()
      : loop_(*os::EventLoop::create()),
        directory_(::testing::TempDir() + "bulkhead-relay-" + std::to_string(::getpid())),
        fifo_(directory_ + "/fifo") {
    std::ignore = std::signal(SIGPIPE, SIG_IGN);
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
    EXPECT_THAT(os::make_directories(directory_), IsOk());
    EXPECT_THAT(os::make_fifo(fifo_), IsOk());
    auto [host_end, guest_end] = *os::make_socket_pair();
    host_ = *mux::Connection::create(
        *loop_, std::move(host_end), mux::Role::Host,
        {.on_ready = [this] { ready_ = true; }, .on_open = nullptr, .on_broken = nullptr});
    guest_ = *mux::Connection::create(
        *loop_, std::move(guest_end), mux::Role::Guest,
        {.on_ready = nullptr,
         .on_open =
             [this](mux::StreamId id) {
               EXPECT_THAT(guest_->session().attach(
                               id, {.on_data =
                                        [this, id](Bytes bytes) {
                                          received_ += as_text(bytes);
                                          if (guest_reads_) {
                                            guest_->session().consume(id, bytes.size());
                                          }
                                        },
                                    .on_end = [this] { ended_ = true; },
                                    .on_writable = nullptr,
                                    .on_reset = [this](const Error&) { reset_ = true; }}),
                           IsOk());
             },
         .on_broken = nullptr});
    until([this] { return ready_; });
  }

  void TearDown() override {
    in_.reset();
    out_.reset();
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
  }

  template <class Condition>
  void until(Condition condition) {
    run_until(*loop_, condition);
  }

  /// A few turns of the loop: for what must not happen.
  void turn() {
    for (int i = 0; i < 20; ++i) {
      ASSERT_THAT(loop_->run_once(milliseconds(1)), IsOk());
    }
  }

  os::UniqueFd open_fifo(int flags) { return *os::open_file(fifo_, flags | O_NONBLOCK); }

  void make_in(StdinLife life) {
    in_ = *InputRelay::create(*loop_, *StdioTarget::parse(fifo_), life);
  }

  void attach_in() { ASSERT_THAT(in_->attach(host_->weak_session(), kStream), IsOk()); }

  void make_out(OutputRelay::Options options) {
    out_ = *OutputRelay::create(*loop_, std::move(options));
    ASSERT_THAT(out_->attach(host_->weak_session(), kStream), IsOk());
    until([this] { return guest_->session().is_open(kStream); });
  }

  OutputRelay::Options to_fifo() { return {.target = *StdioTarget::parse(fifo_)}; }

  void say(std::string_view text) {
    ASSERT_THAT(guest_->session().write(kStream, as_bytes(text)), IsOkAnd(text.size()));
  }

  std::string read_all(int fd) {
    std::string text;
    std::array<std::byte, 65536> buffer{};
    while (true) {
      const auto got = os::try_read(fd, buffer);
      if (!got || !*got || **got == 0) {
        return text;
      }
      text += as_text(std::span(buffer).first(**got));
    }
  }

  std::unique_ptr<os::EventLoop> loop_;
  std::string directory_;
  std::string fifo_;
  std::unique_ptr<mux::Connection> host_;
  std::unique_ptr<mux::Connection> guest_;
  bool ready_ = false;
  std::string received_;
  bool ended_ = false;
  bool reset_ = false;
  bool guest_reads_ = true;
  std::unique_ptr<InputRelay> in_;
  std::unique_ptr<OutputRelay> out_;
};

TEST_F(RelayTest, InputComesFromAnyNumberOfWriters) {
  make_in(StdinLife::UntilCloseIo);
  attach_in();
  {
    const os::UniqueFd writer = open_fifo(O_WRONLY);
    ASSERT_THAT(os::write_all(writer.get(), as_bytes("one ")), IsOk());
    until([this] { return received_ == "one "; });
  }
  turn();
  EXPECT_FALSE(ended_);
  const os::UniqueFd writer = open_fifo(O_WRONLY);
  ASSERT_THAT(os::write_all(writer.get(), as_bytes("two")), IsOk());
  until([this] { return received_ == "one two"; });
  EXPECT_FALSE(ended_);
}

TEST_F(RelayTest, CloseIoEndsInputAfterWhatIsThere) {
  make_in(StdinLife::UntilCloseIo);
  const os::UniqueFd writer = open_fifo(O_WRONLY);
  ASSERT_THAT(os::write_all(writer.get(), as_bytes("before the start")), IsOk());
  in_->close_after_drain();
  attach_in();
  // Although the writer still has it open.
  until([this] { return ended_; });
  EXPECT_EQ(received_, "before the start");
}

TEST_F(RelayTest, CloseIoWithoutAnyWriterIsAnEmptyInput) {
  make_in(StdinLife::UntilCloseIo);
  attach_in();
  in_->close_after_drain();
  until([this] { return ended_; });
  EXPECT_EQ(received_, "");
}

TEST_F(RelayTest, WithStdinOnceTheWritersEndIsTheEnd) {
  make_in(StdinLife::Once);
  attach_in();
  turn();
  EXPECT_FALSE(ended_);  // nobody has come yet
  {
    const os::UniqueFd writer = open_fifo(O_WRONLY);
    ASSERT_THAT(os::write_all(writer.get(), as_bytes("all")), IsOk());
  }
  until([this] { return ended_; });
  EXPECT_EQ(received_, "all");
}

TEST_F(RelayTest, InputThatTheGuestDoesNotReadStaysInTheFifo) {
  guest_reads_ = false;
  make_in(StdinLife::UntilCloseIo);
  attach_in();
  const os::UniqueFd writer = open_fifo(O_WRONLY);
  const std::string block(65536, 'x');
  std::size_t written = 0;
  for (int i = 0; i < 200; ++i) {
    const auto n = os::try_write(writer.get(), as_bytes(block));
    ASSERT_THAT(n, IsOk());
    written += n->value_or(0);
    ASSERT_THAT(loop_->run_once(milliseconds(0)), IsOk());
  }
  turn();
  EXPECT_EQ(received_.size(), mux::kWindow);
  EXPECT_LT(written, mux::kWindow + (2U << 20U));
  guest_reads_ = true;
  guest_->session().consume(kStream, received_.size());
  in_->close_after_drain();
  until([this] { return ended_; });
  EXPECT_EQ(received_.size(), written);
}

TEST_F(RelayTest, AnInputThatNobodyWantsIsClosed) {
  make_in(StdinLife::UntilCloseIo);
  attach_in();
  const os::UniqueFd writer = open_fifo(O_WRONLY);
  ASSERT_THAT(os::write_all(writer.get(), as_bytes("x")), IsOk());
  until([this] { return received_ == "x"; });
  guest_->session().reset(kStream);
  until([&] { return !os::try_write(writer.get(), as_bytes("y")).has_value(); });
}

TEST_F(RelayTest, OnlyFifosAreInputs) {
  ASSERT_THAT(os::write_file_atomically(directory_ + "/file", "x"), IsOk());
  const auto target = *StdioTarget::parse(directory_ + "/file");
  EXPECT_THAT(InputRelay::create(*loop_, target, StdinLife::Once), IsError(ErrorCode::Invalid));
  EXPECT_THAT(OutputRelay::create(*loop_, {.target = target}), IsError(ErrorCode::Invalid));
}

TEST_F(RelayTest, OutputReachesAReaderAndThenItsEnd) {
  const os::UniqueFd reader = open_fifo(O_RDONLY);
  make_out(to_fifo());
  say("hello");
  bool drained = false;
  out_->drain([&] { drained = true; });
  guest_->session().end(kStream);
  until([&] { return drained; });
  EXPECT_EQ(read_all(reader.get()), "hello");
  std::array<std::byte, 1> one{};
  EXPECT_THAT(os::read_some(reader.get(), one), IsOkAnd(0));  // end of file, not EAGAIN
}

TEST_F(RelayTest, OutputWaitsForItsReader) {
  make_out(to_fifo());
  say("early");
  bool drained = false;
  out_->drain([&] { drained = true; });
  guest_->session().end(kStream);
  turn();
  EXPECT_FALSE(drained);
  const os::UniqueFd reader = open_fifo(O_RDONLY);
  until([&] { return drained; });
  EXPECT_EQ(read_all(reader.get()), "early");
}

TEST_F(RelayTest, OutputWithoutAReaderIsDroppedAfterAWhile) {
  auto options = to_fifo();
  options.reader_patience = milliseconds(20);
  make_out(std::move(options));
  say("nobody");
  bool drained = false;
  out_->drain([&] { drained = true; });
  guest_->session().end(kStream);
  until([&] { return drained; });
}

TEST_F(RelayTest, NothingToSayNeedsNoReader) {
  make_out(to_fifo());
  bool drained = false;
  out_->drain([&] { drained = true; });
  guest_->session().end(kStream);
  until([&] { return drained; });
}

TEST_F(RelayTest, ASlowReaderHoldsUpTheGuestAndLosesNothing) {
  const os::UniqueFd reader = open_fifo(O_RDONLY);
  make_out(to_fifo());
  const std::string block(32768, 'b');
  std::size_t said = 0;
  for (int i = 0; i < 300; ++i) {
    const auto n = guest_->session().write(kStream, as_bytes(block));
    ASSERT_THAT(n, IsOk());
    said += *n;
    ASSERT_THAT(loop_->run_once(milliseconds(0)), IsOk());
  }
  // The window and what the FIFO holds.
  EXPECT_LE(said, mux::kWindow + (1U << 20U));
  bool drained = false;
  out_->drain([&] { drained = true; });
  guest_->session().end(kStream);
  turn();
  EXPECT_FALSE(drained);
  std::string text;
  until([&] {
    text += read_all(reader.get());
    return drained;
  });
  text += read_all(reader.get());
  EXPECT_EQ(text.size(), said);
}

TEST_F(RelayTest, AReaderThatDiesLosesOnlyItsPart) {
  auto log = *ContainerLog::open(*loop_, directory_ + "/log");
  auto options = to_fifo();
  options.log = log.get();
  os::UniqueFd reader = open_fifo(O_RDONLY);
  make_out(std::move(options));
  say("one\n");
  std::string seen;
  until([&] { return (seen += read_all(reader.get())) == "one\n"; });
  reader.reset();
  say("two\n");
  say(std::string(65536, 'x'));
  bool drained = false;
  out_->drain([&] { drained = true; });
  guest_->session().end(kStream);
  until([&] { return drained; });
  const std::string content = *os::read_file(directory_ + "/log");
  EXPECT_THAT(content, ::testing::HasSubstr("stdout F two\n"));
  EXPECT_GT(content.size(), 65536U);
}

TEST_F(RelayTest, AGuestThatNeverEndsAStreamIsGivenUp) {
  const os::UniqueFd reader = open_fifo(O_RDONLY);
  auto options = to_fifo();
  options.guest_patience = milliseconds(20);
  make_out(std::move(options));
  bool drained = false;
  out_->drain([&] { drained = true; });
  until([&] { return drained; });
}

TEST_F(RelayTest, AbandonedOutputIsDrained) {
  const os::UniqueFd reader = open_fifo(O_RDONLY);
  make_out(to_fifo());
  for (int i = 0; i < 100; ++i) {
    std::ignore = guest_->session().write(kStream, as_bytes(std::string(65536, 'x')));
    ASSERT_THAT(loop_->run_once(milliseconds(0)), IsOk());
  }
  bool drained = false;
  out_->drain([&] { drained = true; });
  turn();
  EXPECT_FALSE(drained);
  out_->abandon();
  until([&] { return drained; });
}

TEST_F(RelayTest, AFileIsAppendedTo) {
  const std::string path = directory_ + "/file";
  ASSERT_THAT(os::write_file_atomically(path, "old "), IsOk());
  make_out({.target = *StdioTarget::parse("file://" + path)});
  say("new");
  bool drained = false;
  out_->drain([&] { drained = true; });
  guest_->session().end(kStream);
  until([&] { return drained; });
  EXPECT_THAT(os::read_file(path), IsOkAnd("old new"));
}

TEST(StdioTarget, KnowsItsKinds) {
  EXPECT_EQ(StdioTarget::parse("")->kind, StdioTarget::Kind::None);
  EXPECT_EQ(StdioTarget::parse("/x")->kind, StdioTarget::Kind::Fifo);
  EXPECT_EQ(StdioTarget::parse("fifo:///x")->path, "/x");
  EXPECT_EQ(StdioTarget::parse("file:///x?a=b")->path, "/x");
  EXPECT_THAT(StdioTarget::parse("binary:///bin/sh"), IsError(ErrorCode::Unsupported));
  EXPECT_THAT(StdioTarget::parse("relative"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(StdioTarget::parse("file://relative"), IsError(ErrorCode::Invalid));
}

}  // namespace
}  // namespace bulkhead::runtime
