#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/images_test_fixture.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {

inline const oci::Platform kAmd{"linux", "amd64", ""};
inline const oci::Platform kArm{"linux", "arm64", ""};

/// An image for two platforms, to be fetched in part or whole.
class TwoPlatformsTest : public ImagesTest {
 protected:
  TwoPlatformsTest() {
    amd_.config.platform = kAmd;
    amd_.layer(source_, archive::TarBuilder().file("amd", "1").finished());
    arm_.config.platform = kArm;
    arm_.layer(source_, archive::TarBuilder().file("arm", "1").finished());
  }

  oci::Descriptor amd() {
    oci::Descriptor amd = amd_.finish(source_);
    amd.platform = kAmd;
    return amd;
  }

  oci::Descriptor arm() {
    oci::Descriptor arm = arm_.finish(source_);
    arm.platform = kArm;
    return arm;
  }

  oci::Descriptor attestation_of(const oci::Descriptor& subject) {
    const oci::Manifest about{
        .media_type = std::string(oci::kOciManifest),
        .config = source_.add(oci::kOciConfig, "{}"),
        .layers = {source_.add("application/vnd.in-toto+json", "of " + subject.digest.text())}};
    oci::Descriptor attestation = source_.add(oci::kOciManifest, about.serialise());
    attestation.platform = oci::Platform{"unknown", "unknown", ""};
    attestation.annotations = {{"vnd.docker.reference.type", "attestation-manifest"},
                               {"vnd.docker.reference.digest", subject.digest.text()}};
    return attestation;
  }

  oci::Descriptor index_of(const std::vector<oci::Descriptor>& entries) {
    const oci::Index index{.media_type = std::string(oci::kOciIndex), .manifests = entries};
    const oci::Descriptor top = source_.add(oci::kOciIndex, index.serialise());
    source_.set_top(top);
    return top;
  }

  /// An index of both, with an attestation of the first.
  oci::Descriptor index() { return index_of({amd(), arm(), attestation_of(amd())}); }

  store::ImageRecord fetched(store::Store& store, std::string_view name,
                             const FetchOptions& options = {.platform = kAmd}) {
    const auto record = fetch(store, source_, oci::Reference::parse(name).value(), options);
    EXPECT_THAT(record, IsOk());
    return *record;
  }

  MemorySource source_;
  TestImage amd_;
  TestImage arm_;
};

}  // namespace bulkhead::images
