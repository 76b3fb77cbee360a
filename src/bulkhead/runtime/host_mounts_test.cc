#include "bulkhead/runtime/host_mounts.h"

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/file.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {
namespace {

class HostMountsTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(bundle_.data()), nullptr); }

  void TearDown() override { ASSERT_THAT(os::remove_tree(bundle_), IsOk()); }

  void write(const std::string& name, const std::string& content) {
    ASSERT_THAT(os::write_file_atomically(bundle_ + "/" + name, content), IsOk());
  }

  /// As little of an ext4 image as is looked at.
  void write_image(const std::string& name) {
    std::string image(4096, '\0');
    image[1024 + 0x38] = '\x53';
    image[1024 + 0x39] = '\xef';
    write(name, image);
  }

  static oci::Spec spec(std::vector<oci::Mount> mounts) {
    oci::Spec with = oci::default_spec();
    for (oci::Mount& mount : mounts) {
      with.mounts.push_back(std::move(mount));
    }
    return with;
  }

  static oci::Mount mount(const char* type, const std::string& source,
                          std::vector<std::string> options) {
    return {.destination = "/data", .type = type, .source = source, .options = std::move(options)};
  }

  std::string bundle_ = testing::TempDir() + "bulkhead-mounts-XXXXXX";
};

TEST_F(HostMountsTest, SharesAreDirectoriesAndFiles) {
  write("hosts", "");
  const auto shares = plan_shares(
      spec({mount("bind", "/usr", {"rbind", "ro"}), mount("none", "hosts", {"bind"})}), bundle_);
  ASSERT_THAT(shares, IsOk());
  ASSERT_EQ(shares->size(), 2);
  EXPECT_EQ(shares->at(0).path, "/usr");
  EXPECT_EQ(shares->at(0).access, vmm::Access::ReadOnly);
  EXPECT_TRUE(shares->at(0).is_recursive);
  EXPECT_EQ(shares->at(1).path, bundle_ + "/hosts");
  EXPECT_EQ(shares->at(1).access, vmm::Access::ReadWrite);
  EXPECT_FALSE(shares->at(1).is_recursive);

  EXPECT_THAT(plan_shares(spec({mount("bind", "absent", {})}), bundle_),
              IsError(ErrorCode::NotFound));
  EXPECT_THAT(plan_shares(spec({mount("bind", "/dev/null", {})}), bundle_),
              IsError(ErrorCode::Unsupported));
}

TEST_F(HostMountsTest, DisksAreImagesAndNothingElse) {
  write_image("disk");
  write("text", "no image");
  write("large", std::string(4096, 'x'));
  const auto disks =
      open_disks(spec({mount("bind", "/usr", {}), mount("ext4", bundle_ + "/disk", {"rw"})}), "/");
  ASSERT_THAT(disks, IsOk());
  ASSERT_EQ(disks->size(), 1);
  EXPECT_EQ(disks->front().access, vmm::Access::ReadWrite);
  for (const char* bad : {"text", "large", "."}) {
    EXPECT_THAT(open_disks(spec({mount("ext4", bad, {"ro"})}), bundle_),
                IsError(ErrorCode::Invalid))
        << bad;
  }
  EXPECT_THAT(open_disks(spec({mount("ext4", "/dev/null", {"ro"})}), bundle_),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(open_disks(spec({mount("ext4", "absent", {})}), bundle_),
              IsError(ErrorCode::NotFound));
}

TEST_F(HostMountsTest, ADiskHasOneWriterOrManyReaders) {
  write_image("disk");
  const oci::Spec writing = spec({mount("ext4", "disk", {})});
  const oci::Spec reading = spec({mount("ext4", "disk", {"ro"})});
  {
    const auto writer = open_disks(writing, bundle_);
    ASSERT_THAT(writer, IsOk());
    EXPECT_THAT(open_disks(writing, bundle_), IsError(ErrorCode::FailedPrecondition));
    EXPECT_THAT(open_disks(reading, bundle_), IsError(ErrorCode::FailedPrecondition));
  }
  const auto reader = open_disks(reading, bundle_);
  ASSERT_THAT(reader, IsOk());
  EXPECT_THAT(open_disks(reading, bundle_), IsOk());
  EXPECT_THAT(open_disks(writing, bundle_), IsError(ErrorCode::FailedPrecondition));
}

}  // namespace
}  // namespace bulkhead::runtime
