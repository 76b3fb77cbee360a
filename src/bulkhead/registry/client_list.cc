#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/registry/client_host.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/link_header.h"
#include "bulkhead/registry/url.h"

// What the client asks a registry about: tags, repositories, referrers; and how it removes.
// Source: OCI distribution specification 1.1, "Content Discovery", "Content Management".

namespace bulkhead::registry {
namespace {

constexpr std::size_t kLargestPage = 4U << 20U;
constexpr std::size_t kMostEntries = 200'000;
constexpr int kMostPages = 2000;

/// Referrers of "sha256:abc" are in an index tagged "sha256-abc" where the registry has no API.
std::string fallback_tag(const Digest& subject) {
  std::string tag(subject.algorithm_name());
  tag += "-" + subject.hex();
  return tag.substr(0, 128);
}

/// Whether the registry says that it has left out other artifact types.
bool is_filtered(const HttpResponse& response) {
  for (const std::string& header : response.headers("oci-filters-applied")) {
    for (const std::string_view filter : split(header, ',')) {
      if (trimmed(filter, " \t") == "artifactType") {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

Result<std::unique_ptr<HttpResponse>> Client::read_page(Host& host, const Call& call,
                                                        std::string& content) {
  return exchange(host, call, [&](HttpResponse& answer) -> Result<> {
    content = BH_TRY(answer.read_all(kLargestPage));
    return {};
  });
}

/// A list that comes in pages, of which the first, `content`, is here as the answer to `call`.
Result<> Client::follow_pages(Host& host, const std::string& what, Call call,
                              std::unique_ptr<HttpResponse> response, std::string content,
                              const TakePage& take) {
  std::set<std::string> seen;
  std::size_t entries = 0;
  for (int page = 0; page < kMostPages; ++page) {
    if (response->status() != 200) {
      return refused(host, what, *response);
    }
    entries += BH_TRY(take(*response, content));
    if (entries > kMostEntries) {
      return fail(ErrorCode::ResourceExhausted, "{}: a list of more than {} entries", host.name(),
                  kMostEntries);
    }
    std::optional<std::string> next;
    if (const auto header = response->header("link")) {
      next = next_link(*header);
    }
    if (!next) {
      return {};
    }
    call.target = BH_TRY(resolve_url(response->url(), *next).context(host.name()));
    const Origin origin = BH_TRY(origin_of(call.target));
    const Origin own = BH_TRY(origin_of(host.base_url()));
    if (origin != own) {
      return fail(ErrorCode::Remote, "{}: its list goes on elsewhere, at {}", host.name(),
                  quote(call.target));
    }
    if (!seen.insert(call.target).second) {
      return fail(ErrorCode::Remote, "{}: its list goes round in a circle", host.name());
    }
    response = BH_TRY(read_page(host, call, content));
  }
  return fail(ErrorCode::ResourceExhausted, "{}: a list of more than {} pages", host.name(),
              kMostPages);
}

/// The strings of `member`, all pages together.
Result<std::vector<std::string>> Client::list_names(const std::string& what,
                                                    const std::string& target,
                                                    const std::string& scope,
                                                    std::string_view member) {
  Host& host = *hosts_.back();
  std::vector<std::string> entries;
  const Call call{.target = target, .scope = scope};
  std::string content;
  auto first = BH_TRY(read_page(host, call, content));
  const auto take = [&](const HttpResponse& /*head*/,
                        const std::string& page) -> Result<std::size_t> {
    const json::Value document = BH_TRY(json::parse(page, "list").context(host.name()));
    const json::Fields fields = BH_TRY(json::Fields::create(document, host.name()));
    std::vector<std::string> more;
    BH_TRY(fields.read(member, more));
    entries.insert(entries.end(), more.begin(), more.end());
    return more.size();
  };
  BH_TRY(follow_pages(host, what, call, std::move(first), std::move(content), take));
  return entries;
}

Result<std::vector<std::string>> Client::tags() {
  return list_names("tags of " + reference_.name(), repository_path("tags/list?n=1000"), scope(),
                    "tags");
}

Result<std::vector<std::string>> Client::catalog(std::string_view prefix) {
  std::vector<std::string> names =
      BH_TRY(list_names("catalog of " + reference_.registry(), "/_catalog?n=1000",
                        "registry:catalog:*", "repositories"));
  std::erase_if(names, [&](const std::string& name) { return !name.starts_with(prefix); });
  return names;
}

Result<std::vector<oci::Descriptor>> Client::referrers(const Digest& subject,
                                                       std::string_view artifact_type) {
  Host& host = *hosts_.back();
  std::string target = repository_path("referrers/" + subject.text());
  if (!artifact_type.empty()) {
    target = with_query(std::move(target), "artifactType", artifact_type);
  }
  std::string content;
  Call call{.target = std::move(target),
            .scope = scope(),
            .headers = {{"Accept", std::string(oci::kOciIndex)}}};
  auto response = BH_TRY(read_page(host, call, content));
  if (response->status() == 404 || response->status() == 400 || response->status() == 405) {
    call.target = repository_path("manifests/" + fallback_tag(subject));
    response = BH_TRY(read_page(host, call, content));
    if (response->status() == 404) {
      return std::vector<oci::Descriptor>();
    }
  }
  std::vector<oci::Descriptor> found;
  const auto take = [&](const HttpResponse& head, const std::string& page) -> Result<std::size_t> {
    oci::Index index = BH_TRY(oci::parse_index(page, oci::kOciIndex).context(host.name()));
    const std::size_t count = index.manifests.size();
    // Registries may, and the fallback does, leave the choice to us.
    if (!artifact_type.empty() && !is_filtered(head)) {
      std::erase_if(index.manifests,
                    [&](const oci::Descriptor& one) { return one.artifact_type != artifact_type; });
    }
    std::ranges::move(index.manifests, std::back_inserter(found));
    return count;
  };
  BH_TRY(follow_pages(host, "referrers of " + subject.text(), std::move(call), std::move(response),
                      std::move(content), take));
  return found;
}

Result<> Client::list_in_fallback_tag(const oci::Manifest& manifest, const std::string& content,
                                      const Digest& digest) {
  const Digest& subject = manifest.subject->digest;
  oci::Index index{.media_type = std::string(oci::kOciIndex)};
  index.manifests = BH_TRY(referrers(subject));
  const bool is_listed = std::ranges::any_of(
      index.manifests, [&](const oci::Descriptor& one) { return one.digest == digest; });
  if (is_listed) {
    return {};
  }
  index.manifests.push_back({.media_type = manifest.media_type,
                             .digest = digest,
                             .size = content.size(),
                             .annotations = manifest.annotations,
                             .artifact_type = oci::artifact_type_of(manifest)});
  const std::string text = index.serialise();
  const Digest made = BH_TRY(hash::digest_of(as_bytes(text)));
  return push_manifest(text, index.media_type, fallback_tag(subject), made);
}

Result<> Client::delete_at(const std::string& target, const std::string& what, bool is_tag) {
  Host* host = BH_TRY(push_host());
  const auto response =
      BH_TRY(exchange(*host, {.method = "DELETE", .target = target, .scope = scope()}));
  const int status = response->status();
  // docker's registry 2 takes a tag for a malformed digest: 400.
  if (is_tag && (status == 400 || status == 405)) {
    return fail(ErrorCode::Unsupported, "{}: {} does not delete a tag alone", what, host->name());
  }
  if (status == 405) {
    return fail(ErrorCode::Unsupported,
                "{}: {} deletes nothing: whoever runs it has to allow that (docker's registry: "
                "REGISTRY_STORAGE_DELETE_ENABLED=true)",
                what, host->name());
  }
  return is_success(status) ? Result<>() : refused(*host, what, *response);
}

Result<> Client::delete_manifest(const std::string& tag_or_digest) {
  const bool is_tag = oci::is_tag(tag_or_digest);
  return delete_at(repository_path("manifests/" + tag_or_digest),
                   reference_.name() + (is_tag ? ":" : "@") + tag_or_digest, is_tag);
}

Result<> Client::delete_blob(const Digest& digest) {
  return delete_at(repository_path("blobs/" + digest.text()),
                   reference_.name() + "@" + digest.text(), false);
}

}  // namespace bulkhead::registry
