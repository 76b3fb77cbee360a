#include "bulkhead/images/outgoing_image.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/images/two_platforms_test_fixture.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/os/file.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

std::vector<Digest> digests(const std::vector<oci::Descriptor>& list) {
  std::vector<Digest> digests;
  digests.reserve(list.size());
  for (const oci::Descriptor& one : list) {
    digests.push_back(one.digest);
  }
  return digests;
}

class OutgoingImageTest : public TwoPlatformsTest {
 protected:
  OutgoingImage selected(const store::Store& store, const store::ImageRecord& record,
                         const PlatformSelection& selection = {}) {
    auto image = select_outgoing(store, record, selection);
    EXPECT_THAT(image, IsOk());
    return image ? *std::move(image) : OutgoingImage();
  }

  /// The entries of the index that was made.
  static std::vector<Digest> made_of(const OutgoingImage& image) {
    if (!image.made) {
      return {};
    }
    const auto index = oci::parse_index(*image.made, oci::kOciIndex);
    EXPECT_THAT(index, IsOk());
    EXPECT_EQ(image.documents.back().digest, sha256(*image.made));
    EXPECT_EQ(image.documents.back().size, image.made->size());
    return digests(index->manifests);
  }

  static Digest layer_of(const TestImage& image) { return image.manifest.layers.front().digest; }

  static Digest config_of(const TestImage& image) { return image.manifest.config.digest; }
};

TEST_F(OutgoingImageTest, AWholeIndexGoesAsItIsAfterWhatItNames) {
  const oci::Descriptor top = index();
  store::Store store = open();
  const auto record = fetched(store, "a:1", {.platform = kAmd, .all_platforms = true});
  for (const bool all : {false, true}) {
    const OutgoingImage image = selected(store, record, {.all = all});
    EXPECT_FALSE(image.made);
    EXPECT_THAT(digests(image.documents),
                ElementsAre(amd().digest, arm().digest, attestation_of(amd()).digest, top.digest));
    EXPECT_EQ(image.documents.back().media_type, oci::kOciIndex);
    EXPECT_EQ(image.blobs.size(), 6U);
  }
}

TEST_F(OutgoingImageTest, APartIsInTheOrderOfTheIndexWithItsAttestations) {
  const oci::Descriptor before = attestation_of(arm());
  index_of({before, arm(), amd(), attestation_of(amd())});
  store::Store store = open();
  const auto record = fetched(store, "a:1", {.platform = kAmd, .all_platforms = true});
  const OutgoingImage one = selected(store, record, {.platforms = {kArm}});
  EXPECT_THAT(made_of(one), ElementsAre(before.digest, arm().digest));
  EXPECT_EQ(one.documents.size(), 3U);
  EXPECT_THAT(digests(one.blobs), testing::IsSupersetOf({layer_of(arm_), config_of(arm_)}));
}

TEST_F(OutgoingImageTest, AllPiecesAreTheWholeIndex) {
  const oci::Descriptor top = index();
  store::Store store = open();
  const auto record = fetched(store, "a:1", {.platform = kAmd, .all_platforms = true});
  const OutgoingImage image = selected(store, record, {.platforms = {kArm, kAmd}});
  EXPECT_FALSE(image.made);
  EXPECT_EQ(image.documents.size(), 4U);
  EXPECT_EQ(image.documents.back().digest, top.digest);
}

TEST_F(OutgoingImageTest, OneManifestIsNoIndex) {
  index_of({amd(), arm()});
  store::Store store = open();
  const auto record = fetched(store, "a:1");
  for (const PlatformSelection& selection :
       {PlatformSelection{}, {.platforms = {kAmd}}, {.all = true}}) {
    const OutgoingImage image = selected(store, record, selection);
    EXPECT_FALSE(image.made);
    EXPECT_THAT(digests(image.documents), ElementsAre(amd().digest));
    EXPECT_THAT(digests(image.blobs), UnorderedElementsAre(config_of(amd_), layer_of(amd_)));
  }
}

TEST_F(OutgoingImageTest, NestedIndexesAreFlattenedWhereOnlyAPartGoes) {
  const oci::Descriptor inner = index_of({arm(), attestation_of(arm())});
  const oci::Descriptor top = index_of({inner, amd()});
  store::Store store = open();
  const auto part = fetched(store, "a:1", {.platform = kArm});
  EXPECT_THAT(made_of(selected(store, part)),
              ElementsAre(arm().digest, attestation_of(arm()).digest));
  source_.set_top(top);
  const auto whole = fetched(store, "a:1", {.platform = kAmd, .all_platforms = true});
  EXPECT_EQ(selected(store, whole).documents.back().digest, top.digest);
  EXPECT_THAT(made_of(selected(store, whole, {.platforms = {kAmd, kArm}})),
              ElementsAre(arm().digest, attestation_of(arm()).digest, amd().digest));
}

TEST_F(OutgoingImageTest, APlatformOfASingleManifestIsLookedAt) {
  amd_.finish(source_);
  store::Store store = open();
  const auto record = fetched(store, "a:1");
  EXPECT_THAT(digests(selected(store, record, {.platforms = {kAmd}}).documents),
              ElementsAre(record.manifest));
  EXPECT_THAT(select_outgoing(store, record, {.platforms = {kArm}}), IsError(ErrorCode::NotFound));
  EXPECT_THAT(select_one(store, record, {.platforms = {kArm}}), IsError(ErrorCode::NotFound));
}

TEST_F(OutgoingImageTest, NothingOfWhatIsNotAllHereGoes) {
  index();
  store::Store store = open();
  const auto record = fetched(store, "a:1", {.platform = kAmd, .all_platforms = true});
  ASSERT_THAT(os::remove_file(store.layout().blob(layer_of(arm_))), IsOk());
  const OutgoingImage image = selected(store, record, {.all = true});
  EXPECT_THAT(made_of(image), ElementsAre(amd().digest, attestation_of(amd()).digest));
  EXPECT_THAT(digests(image.blobs), testing::Not(testing::Contains(config_of(arm_))));
  EXPECT_THAT(select_outgoing(store, record, {.platforms = {kArm}}), IsError(ErrorCode::NotFound));
  ASSERT_THAT(os::remove_file(store.layout().blob(layer_of(amd_))), IsOk());
  EXPECT_THAT(select_outgoing(store, record, {}), IsError(ErrorCode::Corrupt));
}

TEST_F(OutgoingImageTest, DamagedDocumentsAreRefused) {
  index();
  store::Store store = open();
  const auto record = fetched(store, "a:1");
  const std::string path = store.layout().blob(record.manifest);
  const std::string content = os::read_file(path).value();
  ASSERT_THAT(os::write_file_atomically(path, content + " "), IsOk());
  EXPECT_THAT(select_outgoing(store, record, {}), IsError(ErrorCode::Corrupt));
}

}  // namespace
}  // namespace bulkhead::images
