#include "bulkhead/images/save.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/load.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/images/two_platforms_test_fixture.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/os/file.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

class SaveTest : public TwoPlatformsTest {
 protected:
  /// What a saved file loads as, into a store of its own.
  Result<std::vector<store::ImageRecord>> loaded(const std::string& path,
                                                 const FetchOptions& options = {.platform = kAmd}) {
    config::Paths other = paths_;
    other.state = directory_ + "/other";
    BH_TRY(os::remove_tree(other.state));
    store::Store store = BH_TRY(store::Store::open(other));
    return load(store, path, options);
  }

  std::string path(const std::string& name) { return directory_ + "/" + name; }
};

TEST_F(SaveTest, EveryFormatLoadsAsTheSameImage) {
  amd_.finish(source_);
  store::Store store = open();
  const store::ImageRecord record = fetched(store, "test/image:1");
  for (const SaveFormat format :
       {SaveFormat::OciArchive, SaveFormat::OciDirectory, SaveFormat::DockerArchive}) {
    const std::string file = path("saved-" + std::to_string(static_cast<int>(format)));
    ASSERT_THAT(save(store, {"test/image:1"}, file, {.format = format}), IsOk());
    const auto records = loaded(file);
    ASSERT_THAT(records, IsOk());
    ASSERT_EQ(records->size(), 1U);
    EXPECT_EQ(records->front().reference, record.reference);
    EXPECT_EQ(records->front().config, record.config);
    EXPECT_EQ(records->front().chain, record.chain);
    if (format != SaveFormat::DockerArchive) {
      EXPECT_EQ(records->front().target.digest, record.target.digest);
    }
  }
}

TEST_F(SaveTest, SavesSeveralImagesWithTheirNames) {
  amd_.finish(source_);
  store::Store store = open();
  fetched(store, "test/one:1");
  fetched(store, "test/two:1");
  for (const SaveFormat format : {SaveFormat::OciArchive, SaveFormat::DockerArchive}) {
    const std::string file = path("several");
    ASSERT_THAT(save(store, {"test/one:1", "test/two:1", "test/one:1"}, file, {.format = format}),
                IsOk());
    const auto records = loaded(file);
    ASSERT_THAT(records, IsOk());
    std::vector<std::string> names;
    for (const auto& record : *records) {
      names.push_back(record.reference);
    }
    EXPECT_THAT(names, testing::ElementsAre("docker.io/test/one:1", "docker.io/test/two:1"));
  }
}

TEST_F(SaveTest, AWholeIndexKeepsItsDigest) {
  const oci::Descriptor top = index();
  store::Store store = open();
  fetched(store, "test/image:1", {.platform = kAmd, .all_platforms = true});
  ASSERT_THAT(save(store, {"test/image:1"}, path("all")), IsOk());
  for (const oci::Platform& platform : {kAmd, kArm}) {
    const auto records = loaded(path("all"), {.platform = platform});
    ASSERT_THAT(records, IsOk());
    EXPECT_EQ(records->front().target.digest, top.digest);
    EXPECT_EQ(records->front().platform, platform);
  }
}

TEST_F(SaveTest, APartOfAnIndexIsAnIndexOfThatPart) {
  const oci::Descriptor top = index();
  store::Store store = open();
  // One with its attestation: an index of two entries.
  fetched(store, "test/image:1");
  ASSERT_THAT(save(store, {"test/image:1"}, path("amd")), IsOk());
  const auto amd = loaded(path("amd"));
  ASSERT_THAT(amd, IsOk());
  EXPECT_NE(amd->front().target.digest, top.digest);
  EXPECT_EQ(amd->front().target.media_type, oci::kOciIndex);
  EXPECT_THAT(loaded(path("amd"), {.platform = kArm}), IsError(ErrorCode::NotFound));
  // One without: its manifest.
  fetched(store, "test/image:1", {.platform = kArm});
  ASSERT_THAT(save(store, {"test/image:1"}, path("arm"), {.which = {.platforms = {kArm}}}), IsOk());
  const auto arm = loaded(path("arm"), {.platform = kArm});
  ASSERT_THAT(arm, IsOk());
  EXPECT_EQ(arm->front().target.digest, arm->front().manifest);
}

TEST_F(SaveTest, SaysWhichPlatformIsNotHere) {
  index();
  store::Store store = open();
  fetched(store, "test/image:1");
  for (const SaveFormat format : {SaveFormat::OciArchive, SaveFormat::DockerArchive}) {
    const auto saved = save(store, {"test/image:1"}, path("none"),
                            {.format = format, .which = {.platforms = {kArm}}});
    ASSERT_THAT(saved, IsError(ErrorCode::NotFound));
    EXPECT_THAT(saved.error().message(), testing::HasSubstr("linux/arm64"));
  }
  EXPECT_FALSE(os::path_exists(path("none")));
  EXPECT_FALSE(os::path_exists(path("none.partial")));
  EXPECT_THAT(save(store, {"absent"}, path("none")), IsError(ErrorCode::NotFound));
}

TEST_F(SaveTest, ADirectoryMustBeEmpty) {
  amd_.finish(source_);
  store::Store store = open();
  fetched(store, "test/image:1");
  ASSERT_THAT(os::make_directories(path("there/something")), IsOk());
  const SaveOptions options{.format = SaveFormat::OciDirectory};
  EXPECT_THAT(save(store, {"test/image:1"}, path("there"), options),
              IsError(ErrorCode::AlreadyExists));
  EXPECT_TRUE(os::path_exists(path("there/something")));
}

TEST_F(SaveTest, RefusesADamagedBlobAndLeavesNothing) {
  amd_.finish(source_);
  store::Store store = open();
  fetched(store, "test/image:1");
  const std::string blob =
      paths_.state + "/content/blobs/sha256/" + amd_.manifest.layers[0].digest.hex();
  auto content = os::read_file(blob);
  ASSERT_THAT(content, IsOk());
  content->back() = 'x';
  ASSERT_THAT(os::write_file_atomically(blob, *content), IsOk());
  for (const SaveFormat format :
       {SaveFormat::OciArchive, SaveFormat::OciDirectory, SaveFormat::DockerArchive}) {
    EXPECT_THAT(save(store, {"test/image:1"}, path("out"), {.format = format}),
                IsError(ErrorCode::Corrupt));
    EXPECT_FALSE(os::path_exists(path("out")));
  }
}

TEST_F(SaveTest, ArtifactsGoOutAsTheyCame) {
  const oci::Manifest artifact{.media_type = std::string(oci::kOciManifest),
                               .config = source_.add("application/vnd.oci.empty.v1+json", "{}"),
                               .layers = {source_.add("text/plain", "the content")},
                               .artifact_type = "application/x.test"};
  source_.set_top(source_.add(oci::kOciManifest, artifact.serialise()));
  store::Store store = open();
  const store::ImageRecord record = fetched(store, "test/artifact:1");
  for (const SaveFormat format : {SaveFormat::OciArchive, SaveFormat::OciDirectory}) {
    const std::string file = path("saved-" + std::to_string(static_cast<int>(format)));
    ASSERT_THAT(save(store, {"test/artifact:1"}, file, {.format = format}), IsOk());
    const auto records = loaded(file);
    ASSERT_THAT(records, IsOk());
    ASSERT_EQ(records->size(), 1U);
    EXPECT_EQ(records->front().target.digest, record.target.digest);
    EXPECT_EQ(records->front().artifact_type, "application/x.test");
  }
  EXPECT_THAT(
      save(store, {"test/artifact:1"}, path("docker"), {.format = SaveFormat::DockerArchive}),
      IsError(ErrorCode::Unsupported));
  EXPECT_THAT(save(store, {"test/artifact:1"}, path("arm"), {.which = {.platforms = {kArm}}}),
              IsError(ErrorCode::Invalid));
}

TEST_F(SaveTest, CarriesLayersThatAreNotDistributableAsFarAsTheyAreHere) {
  TestImage foreign;
  foreign.config.platform = kArm;
  foreign.layer(source_, archive::TarBuilder().file("a", "1").finished(), "",
                "application/vnd.oci.image.layer.nondistributable.v1.tar");
  foreign.manifest.layers[0].urls = {"http://192.0.2.1/layer"};
  oci::Descriptor for_arm = foreign.finish(source_);
  for_arm.platform = kArm;
  index_of({amd(), for_arm});
  const Digest layer = foreign.manifest.layers[0].digest;
  store::Store store = open();
  fetched(store, "test/image:1", {.platform = kAmd, .all_platforms = true});
  EXPECT_TRUE(store.has_blob(layer));
  ASSERT_THAT(save(store, {"test/image:1"}, path("saved")), IsOk());
  EXPECT_THAT(loaded(path("saved"), {.platform = kArm}), IsOk());
  ASSERT_THAT(store.remove("test/image:1", store::RemoveMode::Careful), IsOk());
  // Beside the platform that runs, an absent one is done without.
  source_.remove(layer);
  fetched(store, "test/image:1", {.platform = kAmd, .all_platforms = true});
  EXPECT_FALSE(store.has_blob(layer));
  ASSERT_THAT(save(store, {"test/image:1"}, path("without")), IsOk());
  EXPECT_THAT(loaded(path("without"), {.platform = kAmd}), IsOk());
  EXPECT_THAT(loaded(path("without"), {.platform = kArm}), IsError(ErrorCode::NotFound));
}

}  // namespace
}  // namespace bulkhead::images
