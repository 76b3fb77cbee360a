#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/registry/authorizer.h"
#include "bulkhead/registry/credentials.h"
#include "bulkhead/registry/hosts.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/retry.h"

namespace bulkhead::registry {

/// How a registry is spoken to. https always, except: a registry on a loopback address that does
/// not speak TLS is spoken to over http; with Insecure any other one too, and certificates go
/// unchecked.
enum class Transport : std::uint8_t { Secure, Insecure };

/// What tokens are asked for.
enum class Access : std::uint8_t { Pull, Push, Delete };

struct ClientOptions {
  Transport transport = Transport::Secure;
  Access access = Access::Pull;
  /// Instead of those that are stored, and for the registry itself only: no mirrors then.
  std::optional<Credentials> credentials;
};

/// A manifest or index as the registry has it. The bytes are not checked against any digest yet.
struct RemoteManifest {
  std::string content;
  std::string media_type;  ///< as the registry calls it, parameters dropped
};

/// A client of one repository of a registry and its mirrors. Blocks. Any number of threads.
/// Source: OCI distribution specification 1.1.
///
/// Everything that can be sent twice is tried again, after a wait, where the trouble passes: broken
/// connections, stalls, 429, 500 and 502 to 504. Where hosts.toml names mirrors, they are asked
/// first, and what they do not have, the registry is asked for.
///
/// Errors of everything: NotFound, PermissionDenied, Unavailable, Io, Timeout, ResourceExhausted
/// (asked to slow down, or a document beyond all bounds), Unsupported, Remote.
class Client {
 public:
  /// No traffic yet. Errors: those of hosts.toml.
  static Result<std::shared_ptr<Client>> create(const oci::Reference& reference,
                                                ClientOptions options = {});

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  [[nodiscard]] const oci::Reference& reference() const { return reference_; }

  /// Whether the registry is there, speaks the protocol and takes the credentials.
  Result<> ping();

  Result<RemoteManifest> manifest(const std::string& tag_or_digest);

  /// What a tag stands for, by the bytes that the registry has. Errors: Corrupt too.
  Result<oci::Descriptor> resolve(const std::string& tag_or_digest);

  /// All tags, sorted as the registry sorts them.
  Result<std::vector<std::string>> tags();

  /// Repositories of the registry whose names begin so.
  Result<std::vector<std::string>> catalog(std::string_view prefix = {});

  /// What refers to a manifest (signatures, attestations), of one type or of all, all pages
  /// together. Where the registry does not know the question, the index under the fallback tag
  /// answers.
  Result<std::vector<oci::Descriptor>> referrers(const Digest& subject,
                                                 std::string_view artifact_type = {});

  /// By tag only the tag; by digest the manifest with all its tags.
  /// Errors: Unsupported when the registry does not delete, or no tag alone.
  Result<> delete_manifest(const std::string& tag_or_digest);
  Result<> delete_blob(const Digest& digest);

  /// A blob from `offset` on.
  struct BlobAnswer {
    std::unique_ptr<HttpResponse> response;
    std::uint64_t skip = 0;  ///< bytes at its beginning that come before the offset
  };

  /// `size` is what was promised. An answer that is for another part, of another size or encoded is
  /// Corrupt. Does not try again.
  Result<BlobAnswer> blob(const oci::Descriptor& descriptor, std::uint64_t offset);

  /// Whether the repository has it.
  Result<bool> has_blob(const Digest& digest);

  struct UploadOptions {
    /// Another repository of the registry that may have the blob: then nothing is sent.
    std::string mount_from;
    /// Sent in pieces of this size; 0: in one, or in pieces where the registry refuses it as too
    /// large. A broken piece is sent again from where it broke.
    std::uint64_t chunk_bytes = 0;
  };

  /// Gives the blob's content from an offset on; called for each try, and not at all where the blob
  /// is mounted.
  using OpenBlob = std::function<Result<std::unique_ptr<oci::BlobReader>>(std::uint64_t offset)>;

  /// Errors: Corrupt too when the registry took in something else.
  Result<> push_blob(const oci::Descriptor& descriptor, const OpenBlob& open,
                     const UploadOptions& options);

  /// What it refers to must be there. Errors: as above.
  Result<> push_manifest(const std::string& content, const std::string& media_type,
                         const std::string& tag_or_digest, const Digest& digest);

 private:
  class Host;
  struct Call;
  struct UploadSession;
  using Consume = std::function<Result<>(HttpResponse&)>;

  Client(oci::Reference reference, ClientOptions options);

  [[nodiscard]] std::string repository_path(std::string_view rest) const;
  [[nodiscard]] std::string scope() const;
  [[nodiscard]] Error refused(const Host& host, const std::string& what,
                              HttpResponse& response) const;

  Result<std::unique_ptr<HttpResponse>> send(Host& host, const Call& call);
  Result<std::unique_ptr<HttpResponse>> send_following(Host& host, const Call& call);
  Result<std::unique_ptr<HttpResponse>> send_authorized(Host& host, const Call& call);
  Result<std::unique_ptr<HttpResponse>> exchange(Host& host, const Call& call,
                                                 const Consume& consume = {});
  template <class Can, class Ask>
  auto first_of_hosts(const std::string& what, Can can, Ask ask)
      -> decltype(ask(std::declval<Host&>()));
  Result<RemoteManifest> manifest_of(Host& host, const std::string& tag_or_digest);
  Result<BlobAnswer> blob_of(Host& host, const oci::Descriptor& descriptor, std::uint64_t offset);

  /// Takes in one page; returns how many entries it has.
  using TakePage =
      std::function<Result<std::size_t>(const HttpResponse& head, const std::string& content)>;

  Result<> follow_pages(Host& host, const std::string& what, Call call,
                        std::unique_ptr<HttpResponse> response, std::string content,
                        const TakePage& take);
  Result<std::unique_ptr<HttpResponse>> read_page(Host& host, const Call& call,
                                                  std::string& content);
  Result<std::vector<std::string>> list_names(const std::string& what, const std::string& target,
                                              const std::string& scope, std::string_view member);
  Result<> delete_at(const std::string& target, const std::string& what, bool is_tag);
  Result<> list_in_fallback_tag(const oci::Manifest& manifest, const std::string& content,
                                const Digest& digest);

  Result<Host*> push_host();
  Result<std::string> location_of(Host& host, const std::string& base,
                                  const HttpResponse& response) const;
  Result<std::optional<UploadSession>> begin_upload(Host& host, const Digest& digest,
                                                    const std::string& mount_from);
  Result<> upload_once(Host& host, const oci::Descriptor& descriptor, const OpenBlob& open,
                       const UploadOptions& options);
  Result<> upload_chunks(Host& host, UploadSession session, const oci::Descriptor& descriptor,
                         const OpenBlob& open);
  Result<> resynchronise(Host& host, UploadSession& session);

  oci::Reference reference_;
  ClientOptions options_;
  HttpClient http_;
  std::vector<std::unique_ptr<Host>> hosts_;  ///< mirrors first, the registry itself last
};

}  // namespace bulkhead::registry
