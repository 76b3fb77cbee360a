#include "bulkhead/images/fetch.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/images_test_fixture.h"
#include "bulkhead/images/layer.h"
#include "bulkhead/images/layer_pipe.h"
#include "bulkhead/images/root_maker.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/store/ingest.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

using archive::TarBuilder;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string gzip(const std::string& content) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(::deflateBound(&stream, content.size()) + 64, '\0');
  std::string in = content;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string tar_with(const std::string& name, const std::string& content) {
  return TarBuilder().directory("d").file("d/" + name, content).finished();
}

oci::Reference reference(std::string_view text = "test/image:1") {
  return oci::Reference::parse(text).value();
}

/// Of an ext4 image. Source: Linux, Documentation/filesystems/ext4/super.rst.
std::string magic_of(const std::string& path) {
  std::array<std::byte, 2> magic{};
  const auto file = os::open_file(path, O_RDONLY);
  EXPECT_THAT(file, IsOk());
  EXPECT_THAT(os::pread_exactly(file->get(), magic, 1080), IsOk());
  return std::string(as_text(magic));
}

class FetchTest : public ImagesTest {
 protected:
  /// Fetches, which must fail, and checks that nothing is left.
  Error failure(MemorySource& source, const oci::Reference& name = reference(),
                const FetchOptions& options = {}) {
    store::Store store = open();
    auto record = fetch(store, source, name, options);
    expect_empty(store);
    if (record) {
      ADD_FAILURE() << "it was fetched";
      return {ErrorCode::Internal, ""};
    }
    return std::move(record).error();
  }
};

TEST_F(FetchTest, BringsAnImageIntoTheStore) {
  MemorySource source;
  TestImage image;
  image.config.command = {"/bin/sh"};
  const std::string first = tar_with("a", "first");
  const std::string second = TarBuilder().file("d/.wh.a", "").file("b", "second").finished();
  image.layer(source, first, gzip(first), oci::kOciLayerGzip).layer(source, second);
  const oci::Descriptor top = image.finish(source);

  store::Store store = open();
  const auto record = fetch(store, source, reference());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->reference, "docker.io/test/image:1");
  EXPECT_EQ(record->target, top);
  EXPECT_EQ(record->size_bytes, first.size() + second.size());
  EXPECT_EQ(record->chain, sha256(sha256(first).text() + " " + sha256(second).text()));
  const auto found = store.find("test/image:1");
  ASSERT_THAT(found, IsOk());
  ASSERT_TRUE(found->has_value());
  EXPECT_THAT((*found)->config.command, testing::ElementsAre("/bin/sh"));
  EXPECT_EQ(magic_of((*found)->root_path), "\x53\xef");
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(4));
  EXPECT_THAT(names("content/ingest"), IsEmpty());
}

TEST_F(FetchTest, FetchesNothingTwice) {
  MemorySource source;
  TestImage image;
  image.layer(source, tar_with("a", "1")).finish(source);
  store::Store store = open();
  ASSERT_THAT(fetch(store, source, reference()), IsOk());
  source.opened.clear();
  ASSERT_THAT(fetch(store, source, reference()), IsOk());
  EXPECT_THAT(source.opened, IsEmpty());

  // One more layer on top: only that and the config are new.
  image.layer(source, tar_with("b", "2")).finish(source);
  ASSERT_THAT(fetch(store, source, reference("test/image:2")), IsOk());
  EXPECT_THAT(source.opened, testing::UnorderedElementsAre(image.manifest.config.digest,
                                                           image.manifest.layers[1].digest));
  EXPECT_THAT(roots(), SizeIs(2));
}

TEST_F(FetchTest, ChecksANewBlobOfARootThatIsThere) {
  MemorySource source;
  TestImage image;
  const std::string tar = tar_with("a", "1");
  image.layer(source, tar).finish(source);
  store::Store store = open();
  ASSERT_THAT(fetch(store, source, reference()), IsOk());
  // The same chain, but the blob inflates to something else.
  TestImage liar;
  liar.layer(source, tar, gzip(tar_with("a", "2")), oci::kOciLayerGzip).finish(source);
  EXPECT_THAT(fetch(store, source, reference("test/liar")), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(store.list(), IsOkAnd(SizeIs(1)));
}

TEST_F(FetchTest, AMovedTagLeavesNoGarbage) {
  MemorySource source;
  TestImage first;
  first.layer(source, tar_with("a", "1")).finish(source);
  store::Store store = open();
  ASSERT_THAT(fetch(store, source, reference()), IsOk());
  TestImage second;
  second.layer(source, tar_with("a", "2")).finish(source);
  ASSERT_THAT(fetch(store, source, reference()), IsOk());
  EXPECT_THAT(store.list(), IsOkAnd(SizeIs(1)));
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
  EXPECT_THAT(roots(), SizeIs(1));
}

TEST_F(FetchTest, AnImageWithoutLayersHasAnEmptyRoot) {
  MemorySource source;
  TestImage().finish(source);
  store::Store store = open();
  const auto record = fetch(store, source, reference());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->chain, sha256(""));
  const auto found = store.find("test/image:1");
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(magic_of((*found)->root_path), "\x53\xef");
}

TEST_F(FetchTest, TakesManyLayers) {
  for (const int count : {127, 500, 2000}) {
    MemorySource source;
    TestImage image;
    for (int index = 0; index < count; ++index) {
      // A few dozen blobs, for the sake of the disk below.
      image.layer(source, TarBuilder().file(fmt::format("f{}", index % 50), "x").finished());
    }
    image.finish(source);
    store::Store store = open();
    EXPECT_THAT(fetch(store, source, reference(fmt::format("many:{}", count))), IsOk()) << count;
  }
}

TEST_F(FetchTest, TheSameLayerTwiceIsFetchedOnce) {
  MemorySource source;
  TestImage image;
  const std::string tar = tar_with("a", "1");
  image.layer(source, tar).layer(source, tar).finish(source);
  store::Store store = open();
  ASSERT_THAT(fetch(store, source, reference()), IsOk());
  EXPECT_THAT(source.opened, SizeIs(2));
}

TEST_F(FetchTest, RefusesContentThatDoesNotMatchItsDigest) {
  const std::string tar = tar_with("a", "content");
  for (const std::string_view part : {"manifest", "config", "layer"}) {
    MemorySource source;
    TestImage image;
    image.layer(source, tar);
    const oci::Descriptor top = image.finish(source);
    const Digest& digest = part == "manifest" ? top.digest
                           : part == "config" ? image.manifest.config.digest
                                              : image.manifest.layers[0].digest;
    std::string content = source.content(digest);
    content[content.size() / 2] ^= 1;
    source.replace(digest, content);
    const Error error = failure(source);
    EXPECT_EQ(error.code(), ErrorCode::Corrupt) << part;
    EXPECT_THAT(error.message(), HasSubstr(digest.text())) << part;
  }
}

TEST_F(FetchTest, RefusesSizesThatDoNotMatch) {
  const std::string tar = tar_with("a", "content");
  for (const std::int64_t change : {-1, 1, 1'000'000}) {
    for (const std::string_view part : {"manifest", "config", "layer"}) {
      MemorySource source;
      TestImage image;
      image.layer(source, tar);
      const auto changed = [&](std::uint64_t size) {
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(size) + change);
      };
      if (part == "layer") {
        image.manifest.layers[0].size = changed(image.manifest.layers[0].size);
      }
      oci::Descriptor top = image.finish(source);
      if (part == "config") {
        image.manifest.config.size = changed(image.manifest.config.size);
        top = source.add(oci::kOciManifest, image.manifest.serialise());
      }
      if (part == "manifest") {
        top.size = changed(top.size);
      }
      source.set_top(top);
      EXPECT_EQ(failure(source).code(), ErrorCode::Corrupt) << part << " " << change;
    }
  }
}

TEST_F(FetchTest, RefusesADiffIdThatDoesNotMatch) {
  MemorySource source;
  TestImage image;
  image.layer(source, tar_with("a", "1"));
  image.config.diff_ids[0] = sha256("other");
  image.finish(source);
  const Error error = failure(source);
  EXPECT_EQ(error.code(), ErrorCode::Corrupt);
  EXPECT_THAT(error.message(), HasSubstr("diff_ids"));
}

TEST_F(FetchTest, RefusesAnAnswerWithAnotherDigestThanAskedFor) {
  MemorySource source;
  TestImage image;
  image.layer(source, tar_with("a", "1")).finish(source);
  EXPECT_EQ(failure(source, reference("test/image@" + sha256("x").text())).code(),
            ErrorCode::Corrupt);
}

TEST_F(FetchTest, RefusesLayersAndConfigsThatDisagree) {
  MemorySource source;
  TestImage image;
  image.layer(source, tar_with("a", "1"));
  image.config.diff_ids.push_back(sha256("more"));
  image.finish(source);
  EXPECT_EQ(failure(source).code(), ErrorCode::Invalid);
  image.config.diff_ids.clear();
  image.finish(source);
  EXPECT_EQ(failure(source).code(), ErrorCode::Invalid);
}

constexpr std::string_view kForeignLayer =
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

TEST_F(FetchTest, TakesALayerThatIsNotDistributableFromTheSourceOnly) {
  MemorySource source;
  TestImage foreign;
  foreign.layer(source, tar_with("a", "1"), "", kForeignLayer);
  foreign.manifest.layers[0].urls = {"file:///etc/passwd", "http://169.254.169.254/"};
  foreign.finish(source);
  const Digest layer = foreign.manifest.layers[0].digest;
  {
    store::Store store = open();
    ASSERT_THAT(fetch(store, source, reference()), IsOk());
    EXPECT_TRUE(store.has_blob(layer));
    ASSERT_THAT(store.remove("test/image:1", store::RemoveMode::Careful), IsOk());
  }
  source.remove(layer);
  const Error error = failure(source);
  EXPECT_EQ(error.code(), ErrorCode::NotFound);
  EXPECT_THAT(error.message(),
              testing::AllOf(HasSubstr("layer " + layer.text()), HasSubstr("not distributable")));
}

TEST_F(FetchTest, KeepsArtifactsWithoutARoot) {
  MemorySource source;
  const std::string type = "application/vnd.cncf.helm.config.v1+json";
  oci::Manifest chart{
      .media_type = std::string(oci::kOciManifest),
      .config = source.add(type, R"({"name":"chart"})"),
      .layers = {source.add("application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                            "no tar at all")},
      .annotations = {{"org.opencontainers.image.created", "2026-01-01T00:00:00Z"}}};
  const oci::Descriptor top = source.add(oci::kOciManifest, chart.serialise());
  source.set_top(top);
  store::Store store = open();
  const auto record = fetch(store, source, reference());
  ASSERT_THAT(record, IsOk());
  EXPECT_FALSE(record->chain.has_value());
  EXPECT_EQ(record->config, top.digest);
  EXPECT_EQ(record->artifact_type, type);
  EXPECT_EQ(record->created, "2026-01-01T00:00:00Z");
  EXPECT_EQ(record->size_bytes, chart.layers[0].size);
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
  EXPECT_THAT(roots(), IsEmpty());
  EXPECT_THAT(store.check_catalog(), IsOkAnd(IsEmpty()));
  const auto listed = store.list();
  ASSERT_THAT(listed, IsOkAnd(SizeIs(1)));
  EXPECT_EQ(listed->front().artifact_type, type);
  EXPECT_FALSE(listed->front().chain.has_value());
  // It cannot be run, and the error says why.
  const auto found = store.find("test/image:1");
  ASSERT_THAT(found, IsError(ErrorCode::Unsupported));
  EXPECT_THAT(found.error().message(), HasSubstr(type));
  // By the id that is shown it is found and removed, with all its content.
  ASSERT_THAT(store.remove(top.digest.short_text(), store::RemoveMode::Careful), IsOk());
  expect_empty(store);
}

TEST_F(FetchTest, ArtifactsThatShareAnEmptyConfigAreDifferent) {
  MemorySource source;
  oci::Manifest artifact{.media_type = std::string(oci::kOciManifest),
                         .config = source.add("application/vnd.oci.empty.v1+json", "{}"),
                         .artifact_type = "application/x.test"};
  store::Store store = open();
  for (const char* name : {"test/a:1", "test/b:1"}) {
    artifact.annotations["name"] = name;
    source.set_top(source.add(oci::kOciManifest, artifact.serialise()));
    ASSERT_THAT(fetch(store, source, reference(name)), IsOk());
  }
  const auto records = store.list();
  ASSERT_THAT(records, IsOkAnd(SizeIs(2)));
  EXPECT_NE(records->at(0).config, records->at(1).config);
  ASSERT_THAT(store.remove("test/a:1", store::RemoveMode::Careful), IsOk());
  EXPECT_THAT(store.check_catalog(), IsOkAnd(IsEmpty()));
}

TEST_F(FetchTest, RefusesArtifactsWhoseBlobsDoNotMatch) {
  MemorySource source;
  oci::Manifest artifact{.media_type = std::string(oci::kOciManifest),
                         .config = source.add("application/vnd.oci.empty.v1+json", "{}"),
                         .layers = {source.add("text/plain", "the content")},
                         .artifact_type = "application/x.test"};
  source.set_top(source.add(oci::kOciManifest, artifact.serialise()));
  source.replace(artifact.layers[0].digest, "thf content");
  EXPECT_EQ(failure(source).code(), ErrorCode::Corrupt);
  source.remove(artifact.layers[0].digest);
  EXPECT_EQ(failure(source).code(), ErrorCode::NotFound);
}

TEST_F(FetchTest, AnImageThatNamesAnArtifactTypeRuns) {
  MemorySource source;
  TestImage image;
  image.layer(source, tar_with("a", "1"));
  image.manifest.artifact_type = "application/x.test";
  image.finish(source);
  store::Store store = open();
  const auto record = fetch(store, source, reference());
  ASSERT_THAT(record, IsOk());
  EXPECT_TRUE(record->chain.has_value());
}

TEST_F(FetchTest, RefusesLayersOfUnknownKinds) {
  MemorySource source;
  TestImage encrypted;
  encrypted.layer(source, tar_with("a", "1"), "",
                  "application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
  encrypted.finish(source);
  EXPECT_EQ(failure(source).code(), ErrorCode::Unsupported);
}

TEST_F(FetchTest, RefusesDocumentsThatAreManifestAndIndex) {
  MemorySource source;
  TestImage image;
  const oci::Descriptor manifest = image.finish(source);
  std::string both = image.manifest.serialise();
  both.pop_back();
  both += fmt::format(R"(,"manifests":[{{"mediaType":"{}","digest":"{}","size":{}}}]}})",
                      oci::kOciManifest, manifest.digest.text(), manifest.size);
  source.set_top(source.add(oci::kOciManifest, both));
  EXPECT_EQ(failure(source).code(), ErrorCode::Invalid);
  source.set_top(source.add(oci::kOciIndex, both));
  EXPECT_EQ(failure(source).code(), ErrorCode::Invalid);
}

oci::Descriptor for_platform(oci::Descriptor descriptor, const oci::Platform& platform) {
  descriptor.platform = platform;
  return descriptor;
}

oci::Descriptor add_index(MemorySource& source, std::vector<oci::Descriptor> manifests) {
  const oci::Index index{.media_type = std::string(oci::kOciIndex),
                         .manifests = std::move(manifests)};
  return source.add(oci::kOciIndex, index.serialise());
}

TEST_F(FetchTest, ChoosesFromIndexesEvenNestedOnes) {
  MemorySource source;
  TestImage arm;
  arm.config.platform = {"linux", "arm64", ""};
  arm.layer(source, tar_with("arm", "1"));
  TestImage amd;
  amd.config.platform = {"linux", "amd64", ""};
  amd.layer(source, tar_with("amd", "1"));
  const oci::Descriptor inner =
      add_index(source, {for_platform(arm.finish(source), {"linux", "arm64", ""}),
                         for_platform(amd.finish(source), {"linux", "amd64", ""})});
  const oci::Descriptor outer = add_index(source, {inner});
  source.set_top(outer);
  store::Store store = open();
  const auto record = fetch(store, source, reference(), {.platform = {"linux", "arm64", ""}});
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->target.digest, outer.digest);
  EXPECT_EQ(record->config, arm.manifest.config.digest);
  // All that the chosen one needs stays when garbage is collected.
  ASSERT_THAT(store.collect(), IsOk());
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(5));
}

TEST_F(FetchTest, LooksIntoIndexesThatDoNotSayWhatTheyAreFor) {
  MemorySource source;
  TestImage arm;
  arm.config.platform = {"linux", "arm64", ""};
  TestImage amd;
  amd.config.platform = {"linux", "amd64", ""};
  const oci::Descriptor first =
      add_index(source, {for_platform(arm.finish(source), {"linux", "arm64", ""})});
  const oci::Descriptor second =
      add_index(source, {for_platform(amd.finish(source), {"linux", "amd64", ""})});
  source.set_top(add_index(source, {first, second}));
  store::Store store = open();
  const auto record = fetch(store, source, reference(), {.platform = {"linux", "amd64", ""}});
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->config, amd.manifest.config.digest);
  EXPECT_THAT(fetch(store, source, reference(), {.platform = {"linux", "s390x", ""}}),
              IsError(ErrorCode::NotFound));
}

TEST_F(FetchTest, TakesTheBestVariant) {
  MemorySource source;
  std::vector<oci::Descriptor> entries;
  std::vector<Digest> configs;
  for (const char* variant : {"v5", "v6"}) {
    TestImage image;
    image.config.platform = {"linux", "arm", variant};
    entries.push_back(for_platform(image.finish(source), image.config.platform));
    configs.push_back(image.manifest.config.digest);
  }
  source.set_top(add_index(source, entries));
  store::Store store = open();
  const auto v7 = fetch(store, source, reference(), {.platform = {"linux", "arm", "v7"}});
  ASSERT_THAT(v7, IsOk());
  EXPECT_EQ(v7->config, configs[1]);
  const auto v5 = fetch(store, source, reference(), {.platform = {"linux", "arm", "v5"}});
  ASSERT_THAT(v5, IsOk());
  EXPECT_EQ(v5->config, configs[0]);
}

/// An index of two platforms, the first with an attestation.
struct TwoPlatforms {
  explicit TwoPlatforms(MemorySource& source)
      : statement(source.add("application/vnd.in-toto+json", "a statement")) {
    amd.config.platform = {"linux", "amd64", ""};
    amd.layer(source, tar_with("amd", "1"));
    arm.config.platform = {"linux", "arm64", ""};
    arm.layer(source, tar_with("arm", "1"));
    const oci::Descriptor image = for_platform(amd.finish(source), {"linux", "amd64", ""});
    const oci::Manifest about{.media_type = std::string(oci::kOciManifest),
                              .config = source.add(oci::kOciConfig, "{}"),
                              .layers = {statement}};
    oci::Descriptor attestation = source.add(oci::kOciManifest, about.serialise());
    attestation.platform = oci::Platform{"unknown", "unknown", ""};
    attestation.annotations = {{"vnd.docker.reference.type", "attestation-manifest"},
                               {"vnd.docker.reference.digest", image.digest.text()}};
    source.set_top(add_index(
        source, {image, for_platform(arm.finish(source), {"linux", "arm64", ""}), attestation}));
  }

  TestImage amd;
  TestImage arm;
  oci::Descriptor statement;
};

TEST_F(FetchTest, KeepsAttestationsOfWhatItKeeps) {
  MemorySource source;
  const TwoPlatforms two(source);
  store::Store store = open();
  ASSERT_THAT(fetch(store, source, reference(), {.platform = {"linux", "arm64", ""}}), IsOk());
  EXPECT_THAT(names("content/blobs/sha256"),
              testing::Not(testing::Contains(two.statement.digest.hex())));
  ASSERT_THAT(fetch(store, source, reference(), {.platform = {"linux", "amd64", ""}}), IsOk());
  ASSERT_THAT(store.collect(), IsOk());
  EXPECT_THAT(names("content/blobs/sha256"), testing::Contains(two.statement.digest.hex()));
}

TEST_F(FetchTest, DoesWithoutAttestationsThatAreAbsentOrDamaged) {
  for (const bool is_absent : {true, false}) {
    MemorySource source;
    const TwoPlatforms two(source);
    if (is_absent) {
      source.remove(two.statement.digest);
    } else {
      source.replace(two.statement.digest, "another text");
    }
    store::Store store = open();
    ASSERT_THAT(fetch(store, source, reference(), {.platform = {"linux", "amd64", ""}}), IsOk());
    EXPECT_THAT(names("content/blobs/sha256"),
                testing::Not(testing::Contains(two.statement.digest.hex())));
  }
}

TEST_F(FetchTest, KeepsMorePlatformsWithoutUnpackingThem) {
  for (const bool all : {true, false}) {
    MemorySource source;
    const TwoPlatforms two(source);
    store::Store store = open();
    FetchOptions options{.platform = {"linux", "amd64", ""}, .all_platforms = all};
    if (!all) {
      options.more_platforms = {{"linux", "arm64", ""}};
    }
    const auto record = fetch(store, source, reference(), options);
    ASSERT_THAT(record, IsOk());
    EXPECT_EQ(record->config, two.amd.manifest.config.digest);
    ASSERT_THAT(store.collect(), IsOk());
    EXPECT_THAT(names("content/blobs/sha256"),
                testing::IsSupersetOf({two.arm.manifest.config.digest.hex(),
                                       two.arm.manifest.layers[0].digest.hex()}));
    EXPECT_THAT(roots(), SizeIs(1));
    ASSERT_THAT(store.remove("test/image:1", store::RemoveMode::Careful), IsOk());
    expect_empty(store);
  }
}

TEST_F(FetchTest, LooksAtEachEntryOfAnIndexOnceForAllPlatforms) {
  MemorySource source;
  const TwoPlatforms two(source);
  source.remove(two.statement.digest);
  store::Store store = open();
  const FetchOptions options{.platform = {"linux", "amd64", ""},
                             .more_platforms = {{"linux", "arm64", ""}, {"linux", "arm64", ""}}};
  ASSERT_THAT(fetch(store, source, reference(), options), IsOk());
  EXPECT_EQ(std::ranges::count(source.opened, two.statement.digest), 1);
}

TEST_F(FetchTest, RefusesMorePlatformsThatAreAbsent) {
  MemorySource source;
  const TwoPlatforms two(source);
  EXPECT_EQ(
      failure(source, reference(),
              {.platform = {"linux", "amd64", ""}, .more_platforms = {{"linux", "s390x", ""}}})
          .code(),
      ErrorCode::NotFound);
  MemorySource plain;
  TestImage image;
  image.config.platform = {"linux", "amd64", ""};
  image.finish(plain);
  EXPECT_EQ(
      failure(plain, reference(),
              {.platform = {"linux", "amd64", ""}, .more_platforms = {{"linux", "s390x", ""}}})
          .code(),
      ErrorCode::NotFound);
}

TEST_F(FetchTest, SaysWhatThereIsWhenThePlatformIsAbsent) {
  MemorySource source;
  TestImage image;
  image.config.platform = {"linux", "s390x", ""};
  const oci::Descriptor manifest = image.finish(source);
  source.set_top(add_index(source, {for_platform(manifest, {"linux", "s390x", ""})}));
  const Error absent = failure(source, reference(), {.platform = {"linux", "amd64", ""}});
  EXPECT_EQ(absent.code(), ErrorCode::NotFound);
  EXPECT_EQ(absent.message(), "image test/image:1: no image for linux/amd64: there is linux/s390x");
  // An index that lies about the platform, and an image without index.
  source.set_top(add_index(source, {for_platform(manifest, {"linux", "amd64", ""})}));
  EXPECT_EQ(failure(source, reference(), {.platform = {"linux", "amd64", ""}}).code(),
            ErrorCode::Unsupported);
  source.set_top(manifest);
  const Error other = failure(source, reference(), {.platform = {"linux", "amd64", ""}});
  EXPECT_EQ(other.code(), ErrorCode::Unsupported);
  EXPECT_THAT(other.message(), HasSubstr("linux/s390x"));
}

TEST_F(FetchTest, RefusesDeepAndCircularIndexes) {
  MemorySource source;
  TestImage image;
  oci::Descriptor descriptor = image.finish(source);
  for (int depth = 0; depth < 100; ++depth) {
    descriptor = add_index(source, {descriptor});
  }
  source.set_top(descriptor);
  EXPECT_EQ(failure(source).code(), ErrorCode::Invalid);
  // One that claims to contain itself must have another digest than it claims.
  const oci::Descriptor liar = add_index(
      source, {{.media_type = std::string(oci::kOciIndex), .digest = sha256("self"), .size = 4}});
  source.replace(sha256("self"), source.content(liar.digest));
  source.set_top(liar);
  EXPECT_EQ(failure(source).code(), ErrorCode::Corrupt);
}

TEST_F(FetchTest, InflatesByContentAndNotByName) {
  const std::string tar = tar_with("a", "1");
  const std::string gz = gzip(tar);
  for (const auto& [type, blob] :
       {std::pair{oci::kOciLayerGzip, tar}, {oci::kOciLayerZstd, gz}, {oci::kOciLayer, gz}}) {
    MemorySource source;
    TestImage image;
    image.layer(source, tar, blob, type).finish(source);
    store::Store store = open();
    EXPECT_THAT(fetch(store, source, reference()), IsOk()) << type;
  }
}

TEST_F(FetchTest, TakesArchivesThatWereNotClosed) {
  MemorySource source;
  TestImage image;
  const std::string tar = TarBuilder().file("a", "1").bytes();
  image
      .layer(source, tar)                     // without the end-of-archive mark
      .layer(source, tar.substr(0, 512 + 1))  // without the rest of the last block
      .finish(source);
  store::Store store = open();
  EXPECT_THAT(fetch(store, source, reference()), IsOk());
}

TEST_F(FetchTest, RefusesLayersThatAreNoArchives) {
  const std::string tar = tar_with("a", std::string(100'000, 'x'));
  const std::string gz = gzip(tar);
  const std::string html = "<html><body>404 Not Found</body></html>";
  for (const std::string& blob :
       {html, gz.substr(0, gz.size() / 2), gz.substr(0, 12), std::string("\x1f\x8b"),
        tar.substr(0, 700), std::string(1000, 'z')}) {
    MemorySource source;
    TestImage image;
    // The diff id is that of the honest tar, and then of what is there.
    image.layer(source, tar, blob, oci::kOciLayerGzip).finish(source);
    EXPECT_EQ(failure(source).code(), ErrorCode::Corrupt);
    TestImage consistent;
    consistent.layer(source, blob).finish(source);
    EXPECT_EQ(failure(source).code(), ErrorCode::Corrupt);
  }
}

TEST_F(FetchTest, RefusesAnEmptyBodyForALayer) {
  MemorySource source;
  TestImage image;
  image.layer(source, tar_with("a", "1")).finish(source);
  source.replace(image.manifest.layers[0].digest, "");
  const Error error = failure(source);
  EXPECT_EQ(error.code(), ErrorCode::Corrupt);
  EXPECT_THAT(error.message(), HasSubstr("0 bytes"));
}

TEST_F(FetchTest, ReportsTheTransportWhenItIsToBlame) {
  MemorySource source;
  TestImage image;
  const std::string tar = tar_with("a", std::string(100'000, 'x'));
  image.layer(source, tar).finish(source);
  source.replace(image.manifest.layers[0].digest, tar.substr(0, 5000));
  EXPECT_THAT(failure(source).message(), HasSubstr("it has 5000 bytes where its descriptor"));
}

TEST_F(FetchTest, RefusesNamesThatLeaveTheImage) {
  for (const std::string_view name : {"../../etc/cron.d/x", "a/../../x", "./../x"}) {
    MemorySource source;
    TestImage image;
    image.layer(source, TarBuilder().file(std::string(name), "x").finished()).finish(source);
    EXPECT_EQ(failure(source).code(), ErrorCode::Invalid) << name;
  }
}

TEST_F(FetchTest, LinksOfOneLayerDoNotLeadTheNextOutside) {
  MemorySource source;
  TestImage image;
  image.layer(source, TarBuilder().symlink("d", directory_).symlink("e", "../../..").finished())
      .layer(source, TarBuilder().file("d/probe", "x").file("e/probe", "x").finished())
      .finish(source);
  store::Store store = open();
  EXPECT_THAT(fetch(store, source, reference()), IsOk());
  EXPECT_FALSE(os::path_exists(directory_ + "/probe"));
  EXPECT_FALSE(os::path_exists("/probe"));
}

TEST_F(FetchTest, ALayerIsInflatedWhileTheOneBeforeIsStillApplied) {
  MemorySource source;
  TestImage image;
  const std::vector<std::string> tars = {tar_with("first", "1"), tar_with("second", "2")};
  image.layer(source, tars[0]).layer(source, tars[1]).finish(source);
  store::Store store = open();
  store::Ingest ingest = *store.begin_ingest();
  const auto pipe = [&](std::size_t index) {
    return std::make_unique<LayerPipe>(
        LayerPipeOptions{.promise = {{image.manifest.layers[index], image.config.diff_ids[index]}},
                         .most_tar_bytes = kMostUnpackedBytes},
        [&tars, index]() -> Result<std::unique_ptr<archive::Reader>> {
          return std::make_unique<archive::BytesReader>(as_bytes(tars[index]));
        },
        *ingest.create_blob());
  };
  const auto second = pipe(1);
  const auto first = pipe(0);
  first->follow_with(*second);
  std::ignore = first->tar();
  // Nobody reads either: what is small passes by itself.
  EXPECT_THAT(first->finish({}), IsOk());
  EXPECT_THAT(second->finish({}), IsOk());
}

TEST_F(FetchTest, ASmallDecoderDoesNotWaitForItsTurn) {
  const std::string tar = tar_with("file", "content");
  store::Store store = open();
  store::Ingest ingest = *store.begin_ingest();
  const auto digest_of = [&](const std::string& blob) {
    LayerPipe pipe(
        {.most_tar_bytes = kMostUnpackedBytes, .inflate_ahead_bytes = 1U << 20U},
        [&]() -> Result<std::unique_ptr<archive::Reader>> {
          return std::make_unique<archive::BytesReader>(as_bytes(blob));
        },
        *ingest.create_blob());
    // It has not got its turn, for nobody asked for the tar.
    const auto done = pipe.finish({});
    EXPECT_THAT(done, IsOk());
    EXPECT_EQ(done->diff_id, sha256(tar));
    EXPECT_EQ(done->tar_bytes, tar.size());
    return done->digest;
  };
  EXPECT_EQ(digest_of(tar), sha256(tar));
  EXPECT_EQ(digest_of(gzip(tar)), sha256(gzip(tar)));
}

TEST_F(FetchTest, StopsAtALimitOfInflatedBytes) {
  MemorySource source;
  TestImage image;
  const std::string tar = tar_with("zeros", std::string(std::size_t{4} << 20U, '\0'));
  const std::string blob = gzip(tar);
  image.layer(source, tar, blob, oci::kOciLayerGzip);
  store::Store store = open();
  store::Ingest ingest = *store.begin_ingest();
  auto root = RootMaker::create(*ingest.create_root());
  ASSERT_THAT(root, IsOk());
  const auto pipe = [&](std::uint64_t most) {
    return std::make_unique<LayerPipe>(
        LayerPipeOptions{.promise = {{image.manifest.layers[0], image.config.diff_ids[0]}},
                         .most_tar_bytes = most},
        [&]() -> Result<std::unique_ptr<archive::Reader>> {
          return std::make_unique<archive::BytesReader>(as_bytes(blob));
        },
        *ingest.create_blob());
  };
  // One layer alone, and with what others left.
  EXPECT_THAT(apply_layer(*pipe(1U << 20U), &*root, kMostUnpackedBytes),
              IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(apply_layer(*pipe(kMostUnpackedBytes), &*root, 1U << 20U),
              IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(apply_layer(*pipe(tar.size()), &*root, tar.size()), IsOk());
}

/// Makes every write beyond `bytes` of a file fail, as a full disk does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::ignore = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }

  ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

TEST_F(FetchTest, AFullDiskLeavesNothing) {
  MemorySource source;
  TestImage image;
  std::string content;
  for (int i = 0; content.size() < std::size_t{4} << 20U; ++i) {
    content += fmt::format("{:08x}", i);
  }
  image.layer(source, tar_with("big", content)).finish(source);
  {
    const FileSizeLimit limit(1U << 20U);
    EXPECT_EQ(failure(source).code(), ErrorCode::NoSpace);
  }
  store::Store store = open();
  EXPECT_THAT(fetch(store, source, reference()), IsOk());
}

TEST_F(FetchTest, ManyAtOnceGiveOneImage) {
  const std::string tar = tar_with("a", std::string(1'000'000, 'x'));
  constexpr int kThreads = 4;
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int index = 0; index < kThreads; ++index) {
    threads.emplace_back([&, index] {
      MemorySource source;
      TestImage image;
      image.layer(source, tar, gzip(tar), oci::kOciLayerGzip).finish(source);
      store::Store store = open();
      EXPECT_THAT(fetch(store, source, reference("test/image:" + std::to_string(index % 2))),
                  IsOk());
    });
  }
  threads.clear();
  store::Store store = open();
  EXPECT_THAT(store.list(), IsOkAnd(SizeIs(2)));
  EXPECT_THAT(roots(), SizeIs(1));
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
  EXPECT_THAT(names("content/ingest"), IsEmpty());
}

/// Kills its process in the middle of a blob.
class DeadlySource final : public oci::BlobReader {
 public:
  Result<std::size_t> read(MutableBytes buffer) override {
    if (calls_++ == 2) {
      ::kill(::getpid(), SIGKILL);
    }
    std::ranges::fill(buffer, std::byte{0});
    return buffer.size();
  }

 private:
  int calls_ = 0;
};

TEST_F(FetchTest, WhatAKilledProcessLeftGoesWithTheNext) {
  {
    const store::Store made = open();
  }
  const pid_t child = ::fork();
  if (child == 0) {
    class Source final : public oci::BlobSource {
     public:
      explicit Source(oci::BlobSource& inner) : inner_(inner) {}

      Result<Resolved> resolve(const oci::Reference& name) override { return inner_.resolve(name); }

      Result<std::unique_ptr<oci::BlobReader>> open(const oci::Descriptor& descriptor) override {
        if (oci::is_layer(descriptor.media_type)) {
          return std::unique_ptr<oci::BlobReader>(std::make_unique<DeadlySource>());
        }
        return inner_.open(descriptor);
      }

     private:
      oci::BlobSource& inner_;
    };

    MemorySource memory;
    TestImage image;
    image.layer(memory, std::string(10'000'000, '\0')).finish(memory);
    Source source(memory);
    store::Store store = store::Store::open(paths_).value();
    static_cast<void>(fetch(store, source, reference()));
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(names("content/ingest"), SizeIs(2));
  MemorySource source;
  TestImage image;
  image.layer(source, tar_with("a", "1")).finish(source);
  store::Store store = open();
  EXPECT_THAT(fetch(store, source, reference()), IsOk());
  EXPECT_THAT(names("content/ingest"), IsEmpty());
}

TEST_F(FetchTest, TakesSha512) {
  MemorySource source;
  TestImage image;
  const std::string tar = tar_with("a", "1");
  image.layer(source, tar);
  const Digest long_digest = hash::digest_of(as_bytes(tar), DigestAlgorithm::Sha512).value();
  image.manifest.layers[0].digest = long_digest;
  image.config.diff_ids[0] = long_digest;
  source.replace(long_digest, tar);
  image.finish(source);
  store::Store store = open();
  EXPECT_THAT(fetch(store, source, reference()), IsOk());
  EXPECT_THAT(names("content/blobs/sha512"), SizeIs(1));
  EXPECT_THAT(store.remove("test/image:1", store::RemoveMode::Careful), IsOk());
  expect_empty(store);
}

}  // namespace
}  // namespace bulkhead::images
