#include "bulkhead/os/live_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::os {
namespace {

using ::testing::ElementsAre;

TEST(Redraw, PutsLinesInThePlaceOfThoseBefore) {
  EXPECT_EQ(redraw(0, {"a"}), "\ra\x1b[K\n\x1b[J");
  EXPECT_EQ(redraw(2, {"a", "b"}), "\x1b[2A\ra\x1b[K\n\rb\x1b[K\n\x1b[J");
}

TEST(RowsOf, LongLinesTakeSeveral) {
  EXPECT_EQ(rows_of({}, 10), 0U);
  EXPECT_EQ(rows_of({"", "1234567890", "12345678901"}, 10), 4U);
  EXPECT_EQ(rows_of({"12345678901"}, 0), 1U);
}

TEST(RowsOf, ColoursAndContinuationBytesTakeNoColumn) {
  EXPECT_EQ(rows_of({"\x1b[36m1234567890\x1b[0m"}, 10), 1U);
  EXPECT_EQ(rows_of({"……………"}, 5), 1U);
  EXPECT_EQ(rows_of({"\x1b[36"}, 2), 1U);
}

TEST(Fit, CountsWhatThereIsNoRoomFor) {
  EXPECT_THAT(fit({"a", "b", "c"}, {.columns = 10, .rows = 4}), ElementsAre("a", "b", "c"));
  EXPECT_THAT(fit({"a", "b", "c", "d"}, {.columns = 10, .rows = 4}),
              ElementsAre("a", "b", "… 2 more"));
  EXPECT_THAT(fit({"a", "12345678901", "c"}, {.columns = 10, .rows = 4}),
              ElementsAre("a", "… 2 more"));
  EXPECT_THAT(fit({"a", "b"}, {.columns = 10, .rows = 1}), ElementsAre("… 2 more"));
}

}  // namespace
}  // namespace bulkhead::os
