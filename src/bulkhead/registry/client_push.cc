#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/registry/client_host.h"
#include "bulkhead/registry/content_range.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/retry.h"
#include "bulkhead/registry/url.h"

// The client's pushing half. A blob goes: POST opens a session, and mounts instead where another
// repository has the blob; PUT sends all of it and closes the session. Where that is too large for
// the registry, PATCH sends it piece by piece and an empty PUT closes.
// Source: OCI distribution specification 1.1, "Push".

namespace bulkhead::registry {
namespace {

constexpr std::uint64_t kDefaultChunk = 32U << 20U;

bool is_passing(ErrorCode code) {
  return code == ErrorCode::Io || code == ErrorCode::Timeout || code == ErrorCode::Unavailable;
}

/// What the registry says that it took in is what was meant.
Result<> check_digest(const HttpResponse& response, const Digest& digest) {
  const auto header = response.header("docker-content-digest");
  if (header && *header != digest.text()) {
    return fail(ErrorCode::Corrupt, "{}: the registry took in {}", digest.text(), quote(*header));
  }
  return {};
}

}  // namespace

Result<Client::Host*> Client::push_host() {
  const auto found =
      std::ranges::find_if(hosts_, [](const auto& host) { return host->endpoint().can_push; });
  if (found == hosts_.end()) {
    return fail(ErrorCode::FailedPrecondition, "{}: hosts.toml names nobody to push to",
                reference_.registry());
  }
  return found->get();
}

Result<bool> Client::has_blob(const Digest& digest) {
  Host* host = BH_TRY(push_host());
  const Call call{
      .method = "HEAD", .target = repository_path("blobs/" + digest.text()), .scope = scope()};
  const auto response = BH_TRY(exchange(*host, call));
  if (response->status() != 200 && response->status() != 404) {
    return refused(*host, digest.text(), *response);
  }
  return response->status() == 200;
}

/// Where an upload goes on: on any host over https, without credentials if it is not the registry.
Result<std::string> Client::location_of(Host& host, const std::string& base,
                                        const HttpResponse& response) const {
  const auto header = response.header("location");
  if (!header) {
    return fail(ErrorCode::Remote, "{}: begins an upload without saying where", host.name());
  }
  std::string location = BH_TRY(resolve_url(base, *header).context(host.name()));
  const Origin origin = BH_TRY(origin_of(location).context(host.name()));
  if (origin.scheme == "http" && base.starts_with("https://") &&
      options_.transport != Transport::Insecure) {
    return fail(ErrorCode::PermissionDenied, "{}: wants an upload over http, at {}", host.name(),
                quote(location));
  }
  return location;
}

/// Opens a session; none where the other repository's blob was mounted instead.
Result<std::optional<Client::UploadSession>> Client::begin_upload(Host& host, const Digest& digest,
                                                                  const std::string& mount_from) {
  Call begin{.method = "POST", .target = repository_path("blobs/uploads/"), .scope = scope()};
  if (!mount_from.empty()) {
    begin.target = with_query(std::move(begin.target), "mount", digest.text());
    begin.target = with_query(std::move(begin.target), "from", mount_from);
    begin.scope += " repository:" + mount_from + ":pull";
  }
  const auto begun = BH_TRY(exchange(host, begin));
  if (begun->status() == 201 && !mount_from.empty()) {
    BH_TRY(check_digest(*begun, digest));
    return std::nullopt;
  }
  if (begun->status() != 202) {
    return refused(host, "upload of " + digest.text(), *begun);
  }
  UploadSession session;
  session.location = BH_TRY(location_of(host, begun->url(), *begun));
  session.chunk_bytes =
      parse_decimal<std::uint64_t>(begun->header("oci-chunk-min-length").value_or("")).value_or(0);
  return session;
}

Result<> Client::upload_once(Host& host, const oci::Descriptor& descriptor, const OpenBlob& open,
                             const UploadOptions& options) {
  const std::string digest = descriptor.digest.text();
  auto session = BH_TRY(begin_upload(host, descriptor.digest, options.mount_from));
  if (!session) {
    return {};
  }
  std::uint64_t chunk_bytes = options.chunk_bytes;
  if (chunk_bytes == 0) {
    const Call put{
        .method = "PUT",
        .target = with_query(session->location, "digest", digest),
        .scope = scope(),
        .headers = {{"Content-Type", "application/octet-stream"}},
        .upload = [&] { return open(0); },
        .upload_bytes = descriptor.size,
        .is_tried_again = false,
    };
    const auto response = BH_TRY(exchange(host, put));
    if (response->status() == 201) {
      return check_digest(*response, descriptor.digest);
    }
    if (response->status() != 413) {
      return refused(host, "upload of " + digest, *response);
    }
    // In pieces then; what became of the session is unknown.
    session = BH_TRY(begin_upload(host, descriptor.digest, ""));
    chunk_bytes = kDefaultChunk;
  }
  session->chunk_bytes = std::max(session->chunk_bytes, chunk_bytes);
  return upload_chunks(host, *std::move(session), descriptor, open);
}

/// Asks how far the registry has got.
Result<> Client::resynchronise(Host& host, UploadSession& session) {
  const auto response = BH_TRY(exchange(host, {.target = session.location, .scope = scope()}));
  const auto range = response->header("range");
  if (response->status() != 204 || !range) {
    return refused(host, "upload", *response);
  }
  // "0-99" when 100 bytes are there; docker's registry says "0-0" for none.
  const auto parsed = ContentRange::parse("bytes " + *range + "/*");
  if (!parsed || parsed->first != 0) {
    return fail(ErrorCode::Remote, "{}: an upload stands at {}", host.name(), quote(*range));
  }
  session.offset = parsed->last == 0 ? 0 : parsed->last + 1;
  session.location = BH_TRY(location_of(host, session.location, *response));
  return {};
}

Result<> Client::upload_chunks(Host& host, UploadSession session, const oci::Descriptor& descriptor,
                               const OpenBlob& open) {
  const std::string digest = descriptor.digest.text();
  Backoff backoff;
  std::uint64_t furthest = 0;
  while (session.offset < descriptor.size) {
    const std::uint64_t length = std::min(session.chunk_bytes, descriptor.size - session.offset);
    const Call patch{
        .method = "PATCH",
        .target = session.location,
        .scope = scope(),
        .headers = {{"Content-Type", "application/octet-stream"},
                    {"Content-Range",
                     fmt::format("{}-{}", session.offset, session.offset + length - 1)}},
        .upload = [&] { return open(session.offset); },
        .upload_bytes = length,
        .is_tried_again = false,
    };
    auto response = exchange(host, patch);
    if (response && (*response)->status() == 202) {
      session.location = BH_TRY(location_of(host, session.location, **response));
      session.offset += length;
      // Not for what was there before: a registry that forgets would be sent the same for ever.
      if (session.offset > furthest) {
        furthest = session.offset;
        backoff.reset();
      }
      continue;
    }
    const bool is_out_of_step = response && (*response)->status() == 416;
    Error failure =
        response ? refused(host, "upload of " + digest, **response) : std::move(response).error();
    const auto wait = is_out_of_step || is_passing(failure.code()) ? backoff.next() : std::nullopt;
    if (!wait) {
      return failure;
    }
    std::this_thread::sleep_for(*wait);
    BH_TRY(resynchronise(host, session));
    if (session.offset > descriptor.size) {
      return fail(ErrorCode::Remote, "{}: has {} of {} bytes of {}", host.name(), session.offset,
                  descriptor.size, digest);
    }
  }
  const Call close{.method = "PUT",
                   .target = with_query(session.location, "digest", digest),
                   .scope = scope(),
                   .headers = {{"Content-Type", "application/octet-stream"}},
                   .is_tried_again = false};
  const auto response = BH_TRY(exchange(host, close));
  if (response->status() != 201) {
    return refused(host, "upload of " + digest, *response);
  }
  return check_digest(*response, descriptor.digest);
}

Result<> Client::push_blob(const oci::Descriptor& descriptor, const OpenBlob& open,
                           const UploadOptions& options) {
  Host* host = BH_TRY(push_host());
  Backoff backoff;
  UploadOptions current = options;
  while (true) {
    auto upload = upload_once(*host, descriptor, open, current);
    if (upload) {
      return upload;
    }
    const ErrorCode code = upload.error().code();
    if (code == ErrorCode::PermissionDenied && !current.mount_from.empty()) {
      current.mount_from.clear();  // the other repository may be closed to us, this one not
      continue;
    }
    const auto wait = is_passing(code) ? backoff.next() : std::nullopt;
    if (!wait) {
      return upload;
    }
    std::this_thread::sleep_for(*wait);
  }
}

Result<> Client::push_manifest(const std::string& content, const std::string& media_type,
                               const std::string& tag_or_digest, const Digest& digest) {
  Host* host = BH_TRY(push_host());
  const Call call{.method = "PUT",
                  .target = repository_path("manifests/" + tag_or_digest),
                  .scope = scope(),
                  .headers = {{"Content-Type", media_type}},
                  .body = content};
  const auto response = BH_TRY(exchange(*host, call));
  if (response->status() != 201) {
    return refused(*host, reference_.name() + ": push of " + tag_or_digest, *response);
  }
  BH_TRY(check_digest(*response, digest));
  // A registry that keeps track of referrers itself says so by this header.
  if (!response->header("oci-subject")) {
    const auto manifest = oci::parse_manifest(content, media_type);
    if (manifest && manifest->subject) {
      return list_in_fallback_tag(*manifest, content, digest);
    }
  }
  return {};
}

}  // namespace bulkhead::registry
