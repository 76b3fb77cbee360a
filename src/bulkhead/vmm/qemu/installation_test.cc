#include "bulkhead/vmm/qemu/installation.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/jail/jail.h"

namespace bulkhead::vmm::qemu {
namespace {

TEST(ParseVersion, ReadsWhatDistributionsPrint) {
  const auto version = parse_version(
      "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022\n");
  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(version->text(), "7.2.22");
  EXPECT_EQ(parse_version("QEMU emulator version 10.0.0-rc1")->text(), "10.0.0");
  EXPECT_GT(*parse_version("QEMU emulator version 10.0.0"), kOldestVersion);
  EXPECT_LT(*parse_version("QEMU emulator version 6.2.0"), kOldestVersion);
}

TEST(ParseVersion, RejectsAnythingElse) {
  for (const char* text :
       {"", "QEMU emulator version ", "QEMU emulator version 7.2", "QEMU emulator version 7.2.x",
        "qemu 7.2.0", "QEMU emulator version 99999999999.0.0"}) {
    EXPECT_THAT(parse_version(text), IsError(ErrorCode::Invalid)) << text;
  }
}

TEST(ParseLoadedObjects, ReadsWhatTheLoaderPrints) {
  const auto libraries = parse_loaded_objects(
      "\tlinux-vdso.so.1 (0x00007ffd0e5f9000)\n"
      "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f0000000000)\n"
      "\t/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so (0x00007f0000000000)\n"
      "\t/lib64/ld-linux-x86-64.so.2 (0x00007f1111111000)\n");
  ASSERT_THAT(libraries, IsOk());
  ASSERT_EQ(libraries->size(), 3U);
  EXPECT_EQ((*libraries)[0].name, "libz.so.1");
  EXPECT_EQ((*libraries)[0].path, "/lib/x86_64-linux-gnu/libz.so.1");
  EXPECT_EQ((*libraries)[2].name, "/lib64/ld-linux-x86-64.so.2");
}

TEST(ParseLoadedObjects, NamesWhatIsMissing) {
  const auto missing = parse_loaded_objects("\tlibfoo.so.7 => not found\n");
  ASSERT_THAT(missing, IsError(ErrorCode::NotFound));
  EXPECT_THAT(missing.error().message(), testing::HasSubstr("libfoo.so.7"));
}

TEST(ParseLoadedObjects, AStaticProgramHasNone) {
  EXPECT_THAT(parse_loaded_objects("QEMU emulator version 9.0.0\n"), IsOkAnd(testing::SizeIs(0)));
  EXPECT_THAT(parse_loaded_objects("\t\n\t => \n\tx =>"), IsOkAnd(testing::SizeIs(0)));
}

TEST(Installation, ShowsAJailOnlyWhatItNeeds) {
  Installation installation;
  installation.program = "/usr/bin/qemu-system-x86_64";
  installation.libraries = {
      {.name = "libz.so.1", .path = "/lib/x86_64-linux-gnu/libz.so.1"},
      {.name = "/lib64/ld-linux-x86-64.so.2", .path = "/lib64/ld-linux-x86-64.so.2"}};
  installation.modules = {"/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so"};
  installation.firmware = "/usr/share/qemu/qboot.rom";
  std::vector<std::string> targets;
  for (const jail::Bind& bind : installation.binds()) {
    targets.push_back(bind.target);
  }
  EXPECT_THAT(targets,
              testing::ElementsAre("/qemu", "/lib/libz.so.1", "/lib64/ld-linux-x86-64.so.2",
                                   "/modules/accel-tcg-x86_64.so", "/firmware/qboot.rom"));
}

}  // namespace
}  // namespace bulkhead::vmm::qemu
