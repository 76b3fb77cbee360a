#include "bulkhead/vmm/accelerator.h"

#include <chrono>
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/testing.h"
#include "bulkhead/os/file.h"
#include "bulkhead/vmm/probe_record.h"

namespace bulkhead::vmm {
namespace {

using testing::HasSubstr;

using Outcome = ProbeMeasurement::Outcome;

ProbeMeasurement completed(std::chrono::nanoseconds time) {
  return {.outcome = Outcome::Completed, .detail = {}, .loop_time = time};
}

TEST(Decide, TakesAWorkingKvm) {
  // A million loops of two instructions at 1 to 3 GHz.
  for (const int microseconds : {300, 700, 2000}) {
    const Decision decision = decide(completed(std::chrono::microseconds(microseconds)));
    EXPECT_EQ(decision.accelerator, Accelerator::Kvm) << decision.reason;
    EXPECT_THAT(decision.reason, HasSubstr("native speed"));
  }
  EXPECT_EQ(decide(completed(kNativeLoopTime)).accelerator, Accelerator::Kvm);
}

TEST(Decide, LeavesAKvmThatEmulates) {
  const Decision slow = decide(completed(kNativeLoopTime + std::chrono::nanoseconds(1)));
  EXPECT_EQ(slow.accelerator, Accelerator::Tcg);
  EXPECT_THAT(slow.reason, HasSubstr("does not run guest code at native speed"));
  EXPECT_EQ(decide(completed(std::chrono::milliseconds(1100))).accelerator, Accelerator::Tcg);
}

TEST(Decide, SaysWhyItIsTcg) {
  const auto reason = [](Outcome outcome) {
    const Decision decision = decide({.outcome = outcome,
                                      .detail = "because of this",
                                      .loop_time = std::chrono::microseconds(1)});
    EXPECT_EQ(decision.accelerator, Accelerator::Tcg);
    return decision.reason;
  };
  EXPECT_EQ(reason(Outcome::NoDevice), "there is no /dev/kvm");
  for (const Outcome outcome :
       {Outcome::NotPermitted, Outcome::NoMachine, Outcome::GuestFailed, Outcome::TimedOut}) {
    EXPECT_THAT(reason(outcome), HasSubstr("because of this"));
  }
}

TEST(ProbeRecord, KeepsEverythingAndCutsDetails) {
  const ProbeMeasurement measurement = {.outcome = Outcome::GuestFailed,
                                        .detail = "exit reason 17",
                                        .loop_time = std::chrono::microseconds(42),
                                        .refuses_arch_capabilities = true};
  EXPECT_EQ(from_record(to_record(measurement)), measurement);
  ProbeMeasurement wordy = measurement;
  wordy.detail = std::string(500, 'x');
  EXPECT_EQ(from_record(to_record(wordy)).detail, std::string(112, 'x'));
}

TEST(ProbeRecord, AnUnknownOutcomeIsAFailure) {
  ProbeRecord record{};
  record.outcome = 99U;
  EXPECT_EQ(from_record(record).outcome, Outcome::GuestFailed);
}

class HostAcceleratorTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(directory_.data()), nullptr); }

  void TearDown() override { ASSERT_THAT(os::remove_tree(directory_), IsOk()); }

  std::string directory_ = testing::TempDir() + "bulkhead-accelerator-XXXXXX";
};

TEST_F(HostAcceleratorTest, AProbeThatCannotRunMeansTcg) {
  const HostAccelerator host = host_accelerator(directory_ + "/run", "/nonexistent/probe");
  EXPECT_EQ(host.decision.accelerator, Accelerator::Tcg);
  EXPECT_FALSE(host.decision.reason.empty());
}

TEST_F(HostAcceleratorTest, IsRememberedForThisBootOnly) {
  const std::string path = directory_ + "/accelerator.json";
  const HostAccelerator host = host_accelerator(directory_, "/nonexistent/probe");
  auto text = os::read_file(path);
  ASSERT_THAT(text, IsOk());
  EXPECT_EQ(host_accelerator(directory_, "/nonexistent/other"), host);

  std::string of_kvm = *text;
  of_kvm.replace(of_kvm.find("\"tcg\""), 5, "\"kvm\"");
  ASSERT_THAT(os::write_file_atomically(path, of_kvm), IsOk());
  EXPECT_EQ(host_accelerator(directory_, "/nonexistent/probe").decision.accelerator,
            Accelerator::Kvm);

  std::string of_another_boot = of_kvm;
  of_another_boot.replace(of_another_boot.find(R"("boot": ")") + 9, 8, "00000000");
  for (const std::string& bad : {of_another_boot, std::string("{"), std::string("[]")}) {
    ASSERT_THAT(os::write_file_atomically(path, bad), IsOk());
    EXPECT_EQ(host_accelerator(directory_, "/nonexistent/probe").decision.accelerator,
              Accelerator::Tcg);
  }
}

}  // namespace
}  // namespace bulkhead::vmm
