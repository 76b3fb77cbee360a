#include "bulkhead/images/verify.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/images_test_fixture.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
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

  void change_last_byte(const std::string& path) {
    auto content = os::read_file(path);
    ASSERT_THAT(content, IsOk());
    content->back() = static_cast<char>(~content->back());
    ASSERT_THAT(os::write_file_atomically(path, *content), IsOk());
  }

  std::string blob(const Digest& digest) {
    return paths_.state + "/content/blobs/sha256/" + digest.hex();
  }

  std::string root() { return paths_.state + "/roots/" + names("roots").at(0); }

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
  change_last_byte(blob(layer));
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
  change_last_byte(root());
  EXPECT_THAT(damage(store, VerifyMode::Repair), ElementsAre(HasSubstr("not what its layers")));
  EXPECT_THAT(damage(store), testing::IsEmpty());
  ASSERT_THAT(os::remove_file(root()), IsOk());
  EXPECT_THAT(damage(store), ElementsAre(HasSubstr("missing")));
  EXPECT_THAT(damage(store, VerifyMode::Repair), ElementsAre(HasSubstr("missing")));
  EXPECT_THAT(damage(store), testing::IsEmpty());
}

}  // namespace
}  // namespace bulkhead::images
