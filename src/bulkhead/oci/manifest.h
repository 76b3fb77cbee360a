#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/platform.h"

// Manifests and indexes, OCI and docker v2 schema 2. Everything here comes from strangers: lists
// are bounded, digests and sizes checked, and a document that could be read both as manifest and as
// index is refused (CVE-2021-41190).
// Source: OCI image specification 1.1, descriptor.md, manifest.md, image-index.md.

namespace bulkhead::oci {

using Annotations = std::map<std::string, std::string>;

/// More layers than any builder makes (docker stops at 127); each costs a tar header at least.
inline constexpr std::size_t kMostLayers = 2048;
inline constexpr std::size_t kMostIndexEntries = 10'000;
/// Largest manifest, index or image config that is read.
inline constexpr std::uint64_t kLargestDocument = std::uint64_t{8} << 20U;
/// Largest blob whose size is believed: 2^53, beyond which JSON numbers are not exact.
inline constexpr std::uint64_t kLargestBlob = std::uint64_t{1} << 53U;

/// Names some content: what it is, its digest and its size.
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
  Annotations annotations;
  std::vector<std::string> urls;
  std::optional<Platform> platform;
  std::string artifact_type;

  bool operator==(const Descriptor&) const = default;
};

struct Manifest {
  std::string media_type;  ///< kOciManifest or kDockerManifest
  Descriptor config;
  std::vector<Descriptor> layers;
  Annotations annotations;
  std::string artifact_type;
  std::optional<Descriptor> subject;

  /// As a document of the media type it has. Parsing it gives the same manifest.
  [[nodiscard]] std::string serialise() const;
};

struct Index {
  std::string media_type;  ///< kOciIndex or kDockerIndex
  std::vector<Descriptor> manifests;
  Annotations annotations;
  std::string artifact_type;
  std::optional<Descriptor> subject;

  [[nodiscard]] std::string serialise() const;
};

using Document = std::variant<Manifest, Index>;

/// Parses a manifest or an index. `media_type` is what the peer or the descriptor calls it; empty
/// when nothing is known ("application/json" and the like count as nothing). The document's own
/// mediaType must agree with it.
/// Errors: Invalid; Unsupported for docker's schema 1 and for unknown types; ResourceExhausted.
Result<Document> parse_document(std::string_view text, std::string_view media_type = {});

/// The same where only one of the two will do.
Result<Manifest> parse_manifest(std::string_view text, std::string_view media_type = {});
Result<Index> parse_index(std::string_view text, std::string_view media_type = {});

/// Whether the manifest describes something else than a container image: a chart, a signature, a
/// model. It is one when its config is no image config, or when it names an artifact type and not
/// all its layers are of a root file system.
bool is_artifact(const Manifest& manifest);

/// What an artifact says it is: its artifact type, else the media type of its config.
std::string artifact_type_of(const Manifest& manifest);

/// The manifest (or nested index) of the index that is for `wanted`. Attestations are passed over.
/// An entry that does not say its platform is taken when no other fits: its image config tells.
/// Errors: NotFound, naming the platforms that are there.
Result<Descriptor> select_platform(const Index& index, const Platform& wanted);

/// All that it could be, the best first: one that says its platform, else everything that does not.
/// Errors: NotFound.
Result<std::vector<Descriptor>> select_candidates(const Index& index, const Platform& wanted);

/// The annotation of an attestation that says which manifest it is about.
/// Source: docker buildx, attestation storage.
inline constexpr std::string_view kAttestedDigest = "vnd.docker.reference.digest";

/// Whether the entry describes another image (provenance, SBOM) instead of being one.
bool is_attestation(const Descriptor& descriptor);

/// The manifest that an attestation says it is about.
std::optional<Digest> attested_digest(const Descriptor& descriptor);

}  // namespace bulkhead::oci
