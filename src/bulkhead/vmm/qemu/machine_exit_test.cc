#include "bulkhead/vmm/qemu/machine_exit.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/text_tail.h"

namespace bulkhead::vmm::qemu {
namespace {

using testing::HasSubstr;
using testing::Not;

using Cause = MachineExit::Cause;

TEST(ExplainExit, AGuestResetIsAShutdown) {
  const MachineExit ending = explain_exit({.shutdown_reason = "guest-reset"});
  EXPECT_EQ(ending.cause, Cause::Shutdown);
  EXPECT_EQ(ending.description, "the guest reset its machine");
  EXPECT_EQ(explain_exit({.shutdown_reason = "guest-shutdown"}).cause, Cause::Shutdown);
}

TEST(ExplainExit, AResetAfterAPanicIsAPanicWithItsWords) {
  const MachineExit ending = explain_exit(
      {.shutdown_reason = "guest-reset",
       .console =
           "booting\r\n[    0.5] Kernel panic - not syncing: VFS: no root\r\n[    0.5] ---\r\n"});
  EXPECT_EQ(ending.cause, Cause::GuestPanic);
  EXPECT_EQ(ending.description,
            "the guest kernel panicked: \"Kernel panic - not syncing: VFS: no root\"");
  EXPECT_EQ(explain_exit({.shutdown_reason = "guest-panic"}).cause, Cause::GuestPanic);
}

TEST(ExplainExit, WhatTheGuestSaysIsQuoted) {
  const MachineExit ending =
      explain_exit({.shutdown_reason = "guest-reset",
                    .console = "Kernel panic - not syncing: \x1b[2J\x07 haha"});
  EXPECT_THAT(ending.description, Not(HasSubstr("\x1b")));
}

TEST(ExplainExit, AKillIsAKill) {
  const MachineExit ending = explain_exit({.status = {.code = 0, .signal = 9}});
  EXPECT_EQ(ending.cause, Cause::Killed);
  EXPECT_EQ(ending.description, "qemu was killed by signal 9 (Killed)");
  EXPECT_THAT(
      explain_exit({.status = {.code = 0, .signal = 9}, .kill_was_asked = true}).description,
      HasSubstr("as asked"));
}

TEST(ExplainExit, AQuitIsAShutdownWhateverTheConsoleSaid) {
  const MachineExit ending = explain_exit({.shutdown_reason = "host-qmp-quit",
                                           .quit_was_asked = true,
                                           .console = "Kernel panic - not syncing: x"});
  EXPECT_EQ(ending.cause, Cause::Shutdown);
}

TEST(ExplainExit, AHostWithoutMemoryIsNamed) {
  const MachineExit ending = explain_exit(
      {.status = {.code = 1},
       .errors = "/qemu: cannot set up guest memory 'microvm.ram': Cannot allocate memory\n",
       .memory_bytes = 2ULL << 30U});
  EXPECT_EQ(ending.cause, Cause::Failed);
  EXPECT_EQ(ending.description,
            "the host has no memory for a machine of 2048 MiB: \"cannot set up guest memory "
            "'microvm.ram': Cannot allocate memory\"");
}

TEST(ExplainExit, AFailureHasQemusLastWords) {
  EXPECT_EQ(
      explain_exit({.status = {.code = 1}, .errors = "warning: x\n/qemu: no such machine\n\n"})
          .description,
      "qemu exited with status 1: \"no such machine\"");
  EXPECT_EQ(explain_exit({.status = {.code = 3}}).description, "qemu exited with status 3");
  // It ended well without having said that it would.
  EXPECT_EQ(explain_exit({}).cause, Cause::Failed);
}

TEST(TextTail, KeepsTheEnd) {
  TextTail tail(8);
  tail.append("0123");
  EXPECT_EQ(tail.text(), "0123");
  for (const char digit : std::string("456789abcdefghijklmnopqrstuvwxyz")) {
    tail.append(std::string(1, digit));
  }
  EXPECT_EQ(tail.text(), "stuvwxyz");
  tail.append(std::string(1000, '.') + "12345678");
  EXPECT_EQ(tail.text(), "12345678");
}

}  // namespace
}  // namespace bulkhead::vmm::qemu
