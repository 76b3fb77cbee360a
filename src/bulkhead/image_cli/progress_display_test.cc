#include "bulkhead/image_cli/progress_display.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/digest.h"

namespace bulkhead::image_cli {
namespace {

using testing::ElementsAre;

const ProgressDisplay::Clock::time_point kBegin{std::chrono::seconds(1000)};

Digest digest(char letter) {
  return Digest::from_hex(DigestAlgorithm::Sha256, std::string(64, letter));
}

TEST(ProgressDisplay, ShowsBytesRateAndTimeLeft) {
  ProgressDisplay display(ProgressDisplay::Colour::None, LayerWork::Unpacking);
  display.layer_present(digest('a'));
  display.layer_started(digest('b'), 60'000'000, kBegin);
  display.layer_advanced(digest('b'), 20'000'000);
  display.layer_started(digest('c'), 1'000'000, kBegin);
  display.layer_advanced(digest('c'), 1'000'000);
  EXPECT_THAT(display.lines(100, 24, kBegin + std::chrono::seconds(2)),
              ElementsAre("aaaaaaaaaaaa  already there",
                          "bbbbbbbbbbbb  [======>             ]  20 MB / 60 MB  10 MB/s  0:04",
                          "cccccccccccc  [====================]  unpacking 1 MB"));
  display.layer_finished(digest('b'), kBegin + std::chrono::seconds(75));
  EXPECT_EQ(display.lines(100, 24, kBegin + std::chrono::seconds(80))[1],
            "bbbbbbbbbbbb  done  60 MB  1:15");
}

TEST(ProgressDisplay, SaysWhenARegistryHasYetToAnswer) {
  ProgressDisplay display(ProgressDisplay::Colour::None, LayerWork::Sending);
  display.layer_started(digest('a'), 1'000'000, kBegin);
  display.layer_advanced(digest('a'), 1'000'000);
  EXPECT_EQ(display.lines(50, 24, kBegin)[0], "aaaaaaaaaaaa  finishing 1 MB");
}

TEST(ProgressDisplay, BoundsTheTimeThatIsLeft) {
  ProgressDisplay display(ProgressDisplay::Colour::None, LayerWork::Unpacking);
  display.layer_started(digest('b'), std::uint64_t{1} << 53U, kBegin);
  display.layer_advanced(digest('b'), 1);
  EXPECT_THAT(display.lines(100, 24, kBegin + std::chrono::hours(10'000))[0],
              testing::EndsWith("144000:00"));
}

TEST(ProgressDisplay, FitsNarrowTerminals) {
  ProgressDisplay display(ProgressDisplay::Colour::None, LayerWork::Unpacking);
  display.layer_started(digest('b'), 60'000'000, kBegin);
  display.layer_advanced(digest('b'), 20'000'000);
  for (std::uint16_t columns = 2; columns < 200; ++columns) {
    for (const std::string& line : display.lines(columns, 24, kBegin + std::chrono::hours(30))) {
      EXPECT_LT(line.size(), columns);
    }
  }
  // Unknown sizes are those of old.
  EXPECT_EQ(display.lines(0, 0, kBegin).size(), 1U);
}

TEST(ProgressDisplay, FitsLowTerminalsAndLeavesOutWhatIsDone) {
  ProgressDisplay display(ProgressDisplay::Colour::None, LayerWork::Unpacking);
  for (char letter = 'a'; letter <= 'f'; ++letter) {
    display.layer_started(digest(letter), 10, kBegin);
  }
  EXPECT_EQ(display.lines(80, 5, kBegin).size(), 4U);
  display.layer_finished(digest('a'), kBegin);
  display.layer_finished(digest('c'), kBegin);
  const std::vector<std::string> lines = display.lines(80, 5, kBegin);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0][0], 'b');
  EXPECT_EQ(lines[1][0], 'd');
}

TEST(ProgressDisplay, ColoursOnlyWhereItMay) {
  for (const auto colour : {ProgressDisplay::Colour::None, ProgressDisplay::Colour::Some}) {
    ProgressDisplay display(colour, LayerWork::Unpacking);
    display.layer_started(digest('a'), 10, kBegin);
    EXPECT_EQ(display.lines(80, 24, kBegin)[0].find('\x1b') != std::string::npos,
              colour == ProgressDisplay::Colour::Some);
  }
}

}  // namespace
}  // namespace bulkhead::image_cli
