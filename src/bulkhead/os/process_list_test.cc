#include "bulkhead/os/process_list.h"

#include <unistd.h>

#include <optional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::os {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::UnorderedElementsAre;

TEST(ProcessList, ANameMayHoldAnything) {
  EXPECT_EQ(parse_process_status("12 (a) R 9 (b c) S 7 12 12 0"),
            (ListedProcess{.pid = 12, .parent = 7}));
  EXPECT_EQ(parse_process_status("1 (init) S 0 1"), (ListedProcess{.pid = 1, .parent = 0}));
}

TEST(ProcessList, WhatIsNoStatusIsNone) {
  for (const char* text : {"", "12", "12 (a", "12 (a)", "12 (a) S", "x (a) S 1", "12 (a) S x"}) {
    EXPECT_EQ(parse_process_status(text), std::nullopt) << text;
  }
}

TEST(ProcessList, HasThisProcess) {
  EXPECT_THAT(list_processes(),
              IsOkAnd(Contains(ListedProcess{.pid = ::getpid(), .parent = ::getppid()})));
}

TEST(ProcessTree, HoldsAllDescendants) {
  const std::vector<ListedProcess> processes = {{.pid = 1, .parent = 0}, {.pid = 5, .parent = 1},
                                                {.pid = 6, .parent = 5}, {.pid = 7, .parent = 5},
                                                {.pid = 8, .parent = 7}, {.pid = 9, .parent = 1}};
  EXPECT_THAT(process_tree(processes, 5), UnorderedElementsAre(5, 6, 7, 8));
  EXPECT_THAT(process_tree(processes, 9), ElementsAre(9));
}

TEST(ProcessTree, ACircleEnds) {
  EXPECT_LE(process_tree({{.pid = 5, .parent = 6}, {.pid = 6, .parent = 5}}, 5).size(), 3U);
  EXPECT_THAT(process_tree({{.pid = 5, .parent = 5}}, 5), ElementsAre(5));
}

TEST(ProportionalMemory, OfThisProcessIsSomething) {
  EXPECT_THAT(proportional_memory(::getpid()), IsOkAnd(Gt(4096U)));
  EXPECT_THAT(proportional_memory(0x3fffffff), IsError(ErrorCode::NotFound));
}

}  // namespace
}  // namespace bulkhead::os
