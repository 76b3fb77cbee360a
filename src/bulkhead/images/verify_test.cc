#include "bulkhead/images/verify.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/images_test_fixture.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class VerifyTest : public ImagesTest {
 protected:
  VerifyTest() {
    image_.layer(source_, archive::TarBuilder().file("a", "1").finished());
    image_.layer(source_, archive::TarBuilder().file("b", "2").finished());
    image_.finish(source_);
  }

  void fetch_it(store::Store& store) {
    ASSERT_THAT(fetch(store, source_, oci::Reference::parse("test/image:1").value()), IsOk());
  }

  /// Of its data: what follows may be a hole.
  void change_a_byte(const std::string& path) {
    const auto file = os::open_file(path, O_RDWR);
    ASSERT_THAT(file, IsOk());
    std::array<std::byte, 1> byte{};
    const auto data = os::next_data(file->get(), 0);
    ASSERT_THAT(data, IsOk());
    ASSERT_TRUE(data->has_value());
    const std::uint64_t at = (*data)->offset + std::min<std::uint64_t>((*data)->length, 1024) - 1;
    ASSERT_THAT(os::pread_exactly(file->get(), byte, at), IsOk());
    byte[0] = ~byte[0];
    ASSERT_THAT(os::pwrite_all(file->get(), byte, at), IsOk());
  }

  std::string blob(const Digest& digest) {
    return paths_.state + "/content/blobs/sha256/" + digest.hex();
  }

  std::string root() { return paths_.state + "/roots/" + roots().at(0); }

  std::string record() {
    const std::string path = root();
    return path.substr(0, path.rfind('.')) + ".layers";
  }

  std::vector<std::string> damage(store::Store& store, VerifyMode mode = VerifyMode::Report) {
    const auto report = verify(store, mode);
    EXPECT_THAT(report, IsOk());
    return report ? report->damage : std::vector<std::string>();
  }

  MemorySource source_;
  TestImage image_;
};

TEST_F(VerifyTest, FindsNothingWrongWithWhatWasFetched) {
  store::Store store = open();
  fetch_it(store);
  const auto report = verify(store, VerifyMode::Report);
  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(report->damage, testing::IsEmpty());
  EXPECT_EQ(report->blobs, 4U);
  EXPECT_EQ(report->roots, 1U);
  EXPECT_THAT(names("content/ingest"), testing::IsEmpty());
}

TEST_F(VerifyTest, FindsAndRemovesADamagedBlobThatTheNextFetchBrings) {
  store::Store store = open();
  fetch_it(store);
  const Digest layer = image_.manifest.layers[1].digest;
  change_a_byte(blob(layer));
  // The blob, and the root that cannot be made from it.
  EXPECT_THAT(damage(store), ElementsAre(HasSubstr(layer.text()), HasSubstr("root")));
  EXPECT_THAT(damage(store, VerifyMode::Repair), testing::SizeIs(3));
  EXPECT_FALSE(os::path_exists(blob(layer)));
  fetch_it(store);
  EXPECT_THAT(damage(store), testing::IsEmpty());
}

TEST_F(VerifyTest, MakesADamagedOrAbsentRootAgain) {
  store::Store store = open();
  fetch_it(store);
  change_a_byte(root());
  EXPECT_THAT(damage(store, VerifyMode::Repair), ElementsAre(HasSubstr("not what its layers")));
  EXPECT_THAT(damage(store), testing::IsEmpty());
  ASSERT_THAT(os::remove_file(root()), IsOk());
  EXPECT_THAT(damage(store), ElementsAre(HasSubstr("missing")));
  EXPECT_THAT(damage(store, VerifyMode::Repair), ElementsAre(HasSubstr("missing")));
  EXPECT_THAT(damage(store), testing::IsEmpty());
}

TEST_F(VerifyTest, MakesADamagedRecordAgain) {
  store::Store store = open();
  fetch_it(store);
  const std::string good = os::read_file(record()).value();
  change_a_byte(record());
  EXPECT_THAT(damage(store), ElementsAre(HasSubstr("record of its layers")));
  EXPECT_THAT(damage(store, VerifyMode::Repair), ElementsAre(HasSubstr("record of its layers")));
  EXPECT_THAT(damage(store), testing::IsEmpty());
  EXPECT_TRUE(os::read_file(record()).value() == good);
  // A root of a release that made no records is as good.
  ASSERT_THAT(os::remove_file(record()), IsOk());
  EXPECT_THAT(damage(store), testing::IsEmpty());
}

}  // namespace
}  // namespace bulkhead::images
