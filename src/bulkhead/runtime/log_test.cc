#include "bulkhead/base/log.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/base/text.h"
#include "bulkhead/os/file.h"
#include "bulkhead/runtime/log_format.h"
#include "bulkhead/runtime/log_reader.h"
#include "bulkhead/runtime/log_writer.h"

namespace bulkhead::runtime {
namespace {

using ::testing::ElementsAre;

const WallTime kTime = *parse_rfc3339("2026-01-02T03:04:05.000000006Z");
constexpr std::string_view kTimeText = "2026-01-02T03:04:05.000000006Z";

class LogTest : public ::testing::Test {
 protected:
  LogTest() : directory_(::testing::TempDir() + "bulkhead-log-" + std::to_string(::getpid())) {
    EXPECT_THAT(os::remove_tree(directory_), IsOk());
    EXPECT_THAT(os::make_directories(directory_), IsOk());
  }

  void TearDown() override { EXPECT_THAT(os::remove_tree(directory_), IsOk()); }

  LogWriter writer(LogLimits limits = {}) { return *LogWriter::open(path_, limits); }

  std::string content() { return *os::read_file(path_); }

  /// What the container wrote, put together again from the log.
  std::string text_of(OutputStream stream) {
    std::string text;
    LogReader reader(path_);
    EXPECT_THAT(reader.read_available([&](const LogLine& line) -> Result<> {
      if (line.stream == stream) {
        text += line.text;
        text += line.partial ? "" : "\n";
      }
      return {};
    }),
                IsOk());
    return text;
  }

  std::string directory_;
  std::string path_ = directory_ + "/log";
};

TEST_F(LogTest, WritesOneEntryForEachLine) {
  LogWriter log = writer();
  log.write(OutputStream::Stdout, as_bytes("one\ntwo\n"), kTime);
  log.write(OutputStream::Stderr, as_bytes("\n"), kTime);
  const std::string time(kTimeText);
  EXPECT_EQ(content(), time + " stdout F one\n" + time + " stdout F two\n" + time + " stderr F \n");
}

TEST_F(LogTest, KeepsAnUnfinishedLineUntilItEnds) {
  LogWriter log = writer();
  log.write(OutputStream::Stdout, as_bytes("hal"), kTime);
  EXPECT_TRUE(log.has_unfinished_line());
  EXPECT_EQ(content(), "");
  log.write(OutputStream::Stderr, as_bytes("other\n"), kTime + std::chrono::seconds(1));
  log.write(OutputStream::Stdout, as_bytes("lo\n"), kTime + std::chrono::seconds(2));
  EXPECT_FALSE(log.has_unfinished_line());
  EXPECT_EQ(content(), "2026-01-02T03:04:06.000000006Z stderr F other\n" + std::string(kTimeText) +
                           " stdout F hallo\n");
}

TEST_F(LogTest, FlushWritesAPartialEntry) {
  LogWriter log = writer();
  log.write(OutputStream::Stdout, as_bytes("prompt> "), kTime);
  log.flush();
  log.write(OutputStream::Stdout, as_bytes("answer\n"), kTime);
  EXPECT_EQ(content(), std::string(kTimeText) + " stdout P prompt> \n" + std::string(kTimeText) +
                           " stdout F answer\n");
  EXPECT_EQ(text_of(OutputStream::Stdout), "prompt> answer\n");
}

TEST_F(LogTest, CutsLongLines) {
  LogWriter log = writer();
  const std::string text = std::string(40'000, 'x') + "\n" + std::string(20'000, 'y');
  log.write(OutputStream::Stdout, as_bytes(text), kTime);
  log.flush();
  for (const std::string_view line : split(content(), '\n')) {
    EXPECT_LE(line.size(), kLargestLogText + 64);
  }
  EXPECT_EQ(text_of(OutputStream::Stdout), text);
}

TEST_F(LogTest, EveryByteComesBack) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) {
    text += static_cast<char>(i * 7 % 251);
  }
  LogWriter log = writer();
  for (std::size_t at = 0; at < text.size(); at += 777) {
    log.write(OutputStream::Stdout, as_bytes(std::string_view(text).substr(at, 777)), kTime);
  }
  log.flush();
  EXPECT_EQ(text_of(OutputStream::Stdout), text);
}

TEST_F(LogTest, BeginsANewFileWhenOneIsFull) {
  LogWriter log = writer({.largest_file = 1000});
  for (int i = 0; i < 40; ++i) {
    log.write(OutputStream::Stdout, as_bytes(std::to_string(i) + "\n"), kTime);
  }
  EXPECT_LE(content().size(), 1000);
  EXPECT_LE(os::read_file(path_ + ".1")->size(), 1000);
  // The newest lines are there, in order, across both files.
  const std::string text = text_of(OutputStream::Stdout);
  EXPECT_TRUE(text.ends_with("37\n38\n39\n"));
}

TEST_F(LogTest, AReaderFollowsAcrossARotation) {
  LogWriter log = writer({.largest_file = 100});
  LogReader reader(path_);
  std::vector<std::string> seen;
  const auto take = [&](const LogLine& line) -> Result<> {
    seen.emplace_back(line.text);
    return {};
  };
  EXPECT_THAT(reader.read_available(take), IsOk());
  log.write(OutputStream::Stdout, as_bytes("a\nb\n"), kTime);
  EXPECT_THAT(reader.read_available(take), IsOk());
  log.write(OutputStream::Stdout, as_bytes("c\n"), kTime);  // rotates
  EXPECT_THAT(reader.read_available(take), IsOk());
  EXPECT_THAT(seen, ElementsAre("a", "b", "c"));
}

/// Files of this process cannot grow beyond `bytes`, as on a disk that is full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    std::ignore = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }

  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(LogTest, AFullDiskDropsAndGoesOn) {
  LogWriter file = writer();
  file.write(OutputStream::Stdout, as_bytes("first\n"), kTime);
  {
    // The warning has nowhere to go either when standard error is a file.
    log::configure(log::Level::Info, [](log::Level, std::string_view) {});
    const FullDisk full(60);
    file.write(OutputStream::Stdout, as_bytes("torn\n"), kTime);
    file.write(OutputStream::Stdout, as_bytes("lost\n"), kTime);
    EXPECT_GT(file.dropped_bytes(), 0);
  }
  file.write(OutputStream::Stdout, as_bytes("last\n"), kTime);
  EXPECT_EQ(text_of(OutputStream::Stdout), "first\nlast\n");
}

TEST_F(LogTest, RefusesWhatIsNoRegularFile) {
  EXPECT_THAT(LogWriter::open("/dev/full"), IsError(ErrorCode::Invalid));
}

TEST_F(LogTest, RefusesALink) {
  ASSERT_EQ(::symlink("/tmp/elsewhere", path_.c_str()), 0);
  EXPECT_FALSE(LogWriter::open(path_).has_value());
}

TEST(LogFormat, PassesOverWhatIsNoLine) {
  for (const std::string_view line :
       {"", "x", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z stdout", "nonsense stdout F text",
        "2026-01-02T03:04:05Z stdin F text", "2026-01-02T03:04:05Z stdout X text",
        "2026-01-02T03:04:05Z stdout F"}) {
    EXPECT_FALSE(parse_log_line(line).has_value()) << line;
  }
  const auto line = parse_log_line("2026-01-02T03:04:05Z stderr P:new  text with  spaces ");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(line->text, " text with  spaces ");
  EXPECT_TRUE(line->partial);
  EXPECT_EQ(line->stream, OutputStream::Stderr);
}

}  // namespace
}  // namespace bulkhead::runtime
