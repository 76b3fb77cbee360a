#include "bulkhead/oci/manifest.h"

#include <cstddef>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"

namespace bulkhead::oci {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

std::string descriptor(std::string_view type, std::string_view digest = kDigest,
                       std::string_view size = "7", std::string_view more = "") {
  return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}{}}})", type, digest, size, more);
}

std::string manifest_text(const std::string& layers, const std::string& more = "") {
  return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]{}}})",
                     kOciManifest, descriptor(kOciConfig), layers, more);
}

std::string index_text(const std::string& manifests, const std::string& more = "") {
  return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{}]{}}})", kOciIndex,
                     manifests, more);
}

std::string entry(std::string_view os, std::string_view architecture, std::string_view variant = "",
                  std::string_view digest = kDigest) {
  return descriptor(kOciManifest, digest, "7",
                    fmt::format(R"(,"platform":{{"os":"{}","architecture":"{}","variant":"{}"}})",
                                os, architecture, variant));
}

std::string digest_of(char digit) { return "sha256:" + std::string(64, digit); }

TEST(Manifest, ParsesAndRoundTrips) {
  const auto manifest = parse_manifest(
      manifest_text(descriptor(kOciLayerGzip) + "," +
                        descriptor(kOciLayerZstd, kDigest, "9007199254740992",
                                   R"(,"annotations":{"a":"b"},"urls":["http://x/"])"),
                    R"(,"annotations":{"k":"v"},"subject":)" + descriptor(kOciManifest)),
      kOciManifest);
  ASSERT_THAT(manifest, IsOk());
  EXPECT_THAT(manifest->layers, SizeIs(2));
  EXPECT_EQ(manifest->layers[1].annotations.at("a"), "b");
  EXPECT_TRUE(manifest->subject.has_value());
  const auto again = parse_manifest(manifest->serialise(), kOciManifest);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->serialise(), manifest->serialise());
  EXPECT_EQ(again->layers, manifest->layers);
}

TEST(Manifest, TakesDockersTypesAndMissingOnes) {
  const std::string docker =
      fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[]}})",
                  kDockerManifest, descriptor(kDockerConfig));
  EXPECT_THAT(parse_manifest(docker), IsOk());
  EXPECT_THAT(parse_manifest(docker, kDockerManifest), IsOk());
  EXPECT_THAT(parse_manifest(docker, "application/json"), IsOk());
  const std::string untyped =
      fmt::format(R"({{"schemaVersion":2,"config":{},"layers":[]}})", descriptor(kOciConfig));
  const auto manifest = parse_manifest(untyped);
  ASSERT_THAT(manifest, IsOk());
  EXPECT_EQ(manifest->media_type, kOciManifest);
  EXPECT_THAT(parse_index(R"({"schemaVersion":2,"manifests":[]})"), IsOk());
}

TEST(Manifest, RefusesDocumentsThatAreBothManifestAndIndex) {
  const std::string both =
      manifest_text(descriptor(kOciLayer), R"(,"manifests":[)" + descriptor(kOciManifest) + "]");
  EXPECT_THAT(parse_document(both, kOciManifest), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(both, kOciIndex), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(index_text("", R"(,"layers":[])")), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(index_text("", R"(,"config":{})")), IsError(ErrorCode::Invalid));
}

TEST(Manifest, RefusesDisagreementAboutTheMediaType) {
  EXPECT_THAT(parse_document(manifest_text(""), kOciIndex), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(index_text(""), kOciManifest), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(manifest_text(""), kDockerManifest), IsError(ErrorCode::Invalid));
  // Content of the other kind under an untyped or wrongly typed document.
  EXPECT_THAT(parse_document(R"({"schemaVersion":2,"manifests":[]})", kOciManifest),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(R"({"schemaVersion":2,"layers":[]})", kOciIndex),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_index(manifest_text("")), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_manifest(index_text("")), IsError(ErrorCode::Invalid));
}

TEST(Manifest, RefusesSchema1AndUnknownTypes) {
  EXPECT_THAT(parse_document(R"({"schemaVersion":1,"fsLayers":[],"history":[]})"),
              IsError(ErrorCode::Unsupported));
  EXPECT_THAT(parse_document("{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
              IsError(ErrorCode::Unsupported));
  EXPECT_THAT(parse_document("{}", "text/html"), IsError(ErrorCode::Unsupported));
  EXPECT_THAT(parse_document(R"({"schemaVersion":3,"manifests":[]})"),
              IsError(ErrorCode::Unsupported));
  EXPECT_THAT(parse_document("<html></html>"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document("[]"), IsError(ErrorCode::Invalid));
}

TEST(Manifest, ChecksDescriptors) {
  const auto with = [](const std::string& layer) { return parse_document(manifest_text(layer)); };
  for (const std::string_view size : {"-1", "9007199254740993", "18446744073709551616", "1.5",
                                      "\"7\"", "true", "1e400", "null"}) {
    EXPECT_THAT(with(descriptor(kOciLayer, kDigest, size)), IsError(ErrorCode::Invalid)) << size;
  }
  for (const std::string_view digest :
       {"", "sha256:", "sha256:../../etc/passwd", "sha256", "sha256:AA", "/etc/passwd"}) {
    EXPECT_THAT(with(descriptor(kOciLayer, digest)), IsError(ErrorCode::Invalid)) << digest;
  }
  EXPECT_THAT(with(descriptor(kOciLayer, "sha256:" + std::string(64, 'A'))),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(with(descriptor(kOciLayer, "md5:" + std::string(32, 'a'))),
              IsError(ErrorCode::Unsupported));
  EXPECT_THAT(with(descriptor(kOciLayer, "sha512:" + kHex + kHex)), IsOk());
  EXPECT_THAT(with("1"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(with("{}"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(R"({"schemaVersion":2,"layers":[]})"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(R"({"schemaVersion":2,"config":[],"layers":[]})"),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse_document(R"({"schemaVersion":2,"manifests":{}})"), IsError(ErrorCode::Invalid));
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) {
    all += (i == 0 ? "" : ",") + text;
  }
  return all;
}

TEST(Manifest, BoundsLists) {
  EXPECT_THAT(parse_document(manifest_text(repeated(descriptor(kOciLayer), 2000))), IsOk());
  EXPECT_THAT(parse_document(manifest_text(repeated(descriptor(kOciLayer), kMostLayers + 1))),
              IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(parse_document(index_text(repeated(entry("linux", "s390x"), 10'000))), IsOk());
  EXPECT_THAT(parse_document(index_text(repeated(entry("linux", "s390x"), 10'001))),
              IsError(ErrorCode::ResourceExhausted));
  std::string annotations;
  for (int i = 0; i < 1025; ++i) {
    annotations += fmt::format(R"({}"a{}":"b")", i == 0 ? "" : ",", i);
  }
  EXPECT_THAT(parse_document(manifest_text("", ",\"annotations\":{" + annotations + "}")),
              IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(parse_document(std::string(kLargestDocument + 1, ' ')),
              IsError(ErrorCode::ResourceExhausted));
}

TEST(Index, RoundTrips) {
  const auto index =
      parse_index(index_text(entry("linux", "arm", "v6") + "," + entry("windows", "amd64")));
  ASSERT_THAT(index, IsOk());
  const auto again = parse_index(index->serialise());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->manifests, index->manifests);
}

std::string selected(const std::string& entries, const Platform& wanted) {
  const auto index = parse_index(index_text(entries));
  if (!index) {
    return index.error().message();
  }
  const auto found = select_platform(*index, wanted);
  return found ? found->digest.text() : found.error().message();
}

TEST(Selection, TakesTheBestThatRuns) {
  const std::string arm = entry("linux", "arm", "v5", digest_of('5')) + "," +
                          entry("linux", "arm", "v6", digest_of('6')) + "," +
                          entry("linux", "arm", "v8", digest_of('8'));
  EXPECT_EQ(selected(arm, {"linux", "arm", "v7"}), digest_of('6'));
  EXPECT_EQ(selected(arm, {"linux", "arm", "v5"}), digest_of('5'));
  const std::string amd = entry("linux", "amd64", "v3", digest_of('3')) + "," +
                          entry("linux", "amd64", "", digest_of('1')) + "," +
                          entry("linux", "amd64", "v2", digest_of('2'));
  EXPECT_EQ(selected(amd, {"linux", "amd64", ""}), digest_of('1'));
  EXPECT_EQ(selected(amd, {"linux", "amd64", "v2"}), digest_of('2'));
  EXPECT_EQ(selected(amd, {"linux", "amd64", "v4"}), digest_of('3'));
  EXPECT_EQ(selected(entry("linux", "x86_64"), {"linux", "amd64", ""}), kDigest);
  EXPECT_EQ(selected(entry("linux", "arm64", "v8"), {"linux", "arm64", ""}), kDigest);
}

TEST(Selection, NamesWhatIsThereWhenNothingFits) {
  EXPECT_EQ(selected(entry("linux", "arm", "v6") + "," + entry("windows", "amd64") + "," +
                         entry("unknown", "unknown"),
                     {"linux", "amd64", ""}),
            "no image for linux/amd64: there is linux/arm/v6, windows/amd64");
  EXPECT_EQ(selected("", {"linux", "amd64", ""}), "no image for linux/amd64: there is none at all");
  EXPECT_THAT(selected(entry(R"(l\u001b[31m\n)", "x"), {"linux", "amd64", ""}),
              HasSubstr(R"("l\x1b[31m\x0a"/x)"));
}

TEST(Selection, PassesOverAttestationsAndOtherThings) {
  const std::string attestation =
      descriptor(kOciManifest, digest_of('f'), "7",
                 R"(,"annotations":{"vnd.docker.reference.type":"attestation-manifest"},
                     "platform":{"os":"linux","architecture":"amd64"})");
  EXPECT_EQ(selected(attestation + "," + entry("linux", "amd64"), {"linux", "amd64", ""}), kDigest);
  EXPECT_EQ(
      selected(descriptor("application/x-thing") + "," + descriptor(kOciManifest, digest_of('1')),
               {"linux", "amd64", ""}),
      digest_of('1'));
}

TEST(Platform, ParsesAndNormalises) {
  EXPECT_THAT(Platform::parse("linux/amd64"), IsOkAnd(Platform{"linux", "amd64", ""}));
  EXPECT_THAT(Platform::parse("arm64"), IsOkAnd(Platform{"linux", "arm64", ""}));
  EXPECT_THAT(Platform::parse("linux/aarch64/v8"), IsOkAnd(Platform{"linux", "arm64", ""}));
  EXPECT_THAT(Platform::parse("linux/armhf"), IsOkAnd(Platform{"linux", "arm", "v7"}));
  EXPECT_THAT(Platform::parse("linux/arm/6"), IsOkAnd(Platform{"linux", "arm", "v6"}));
  EXPECT_THAT(Platform::parse("linux/x86_64/v1"), IsOkAnd(Platform{"linux", "amd64", ""}));
  for (const std::string_view bad : {"", "/", "linux/", "a/b/c/d", "linux/amd 64", "linux/../x"}) {
    EXPECT_THAT(Platform::parse(bad), IsError(ErrorCode::Invalid)) << bad;
  }
}

TEST(MediaType, KnowsLayers) {
  EXPECT_TRUE(is_layer(kOciLayerGzip));
  EXPECT_TRUE(is_layer("application/vnd.docker.image.rootfs.diff.tar.gzip"));
  EXPECT_TRUE(is_layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"));
  EXPECT_TRUE(is_foreign_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
  EXPECT_FALSE(is_foreign_layer(kOciLayer));
  EXPECT_FALSE(is_layer("application/vnd.in-toto+json"));
  EXPECT_FALSE(is_layer("application/vnd.oci.image.layer.v1.tar+encrypted"));
}

}  // namespace
}  // namespace bulkhead::oci
