#include "bulkhead/registry/url.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include <curl/curl.h>
#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::registry {
namespace {

struct UrlDeleter {
  void operator()(CURLU* url) const { ::curl_url_cleanup(url); }
};

using Url = std::unique_ptr<CURLU, UrlDeleter>;

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

Result<Url> parse_url(const std::string& text) {
  Url url(::curl_url());
  if (!url || ::curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return fail(ErrorCode::Invalid, "url {}: malformed", quote(text));
  }
  return url;
}

std::string url_part(const Url& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (::curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) {
    return {};
  }
  std::string copy(text);
  ::curl_free(text);
  return copy;
}

}  // namespace

Result<Origin> origin_of(const std::string& text) {
  const Url url = BH_TRY(parse_url(text));
  Origin origin{.scheme = url_part(url, CURLUPART_SCHEME),
                .host = lower_case(url_part(url, CURLUPART_HOST)),
                .port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  if (origin.scheme != "http" && origin.scheme != "https") {
    return fail(ErrorCode::Invalid, "url {}: neither http nor https", quote(text));
  }
  if (origin.host.starts_with('[') && origin.host.ends_with(']')) {
    origin.host = origin.host.substr(1, origin.host.size() - 2);
  }
  return origin;
}

std::string authority_of(std::string_view url) {
  if (const auto scheme = url.find("://"); scheme != std::string_view::npos) {
    url.remove_prefix(scheme + 3);
  }
  return std::string(url.substr(0, url.find('/')));
}

Result<std::string> resolve_url(const std::string& base, const std::string& reference) {
  const Url url = BH_TRY(parse_url(base));
  if (::curl_url_set(url.get(), CURLUPART_URL, reference.c_str(), 0) != CURLUE_OK) {
    return fail(ErrorCode::Invalid, "url {}: malformed", quote(reference));
  }
  return url_part(url, CURLUPART_URL);
}

bool is_loopback_host(std::string_view host) {
  if (host == "localhost" || host == "::1") {
    return true;
  }
  const auto pieces = split(host, '.');
  return pieces.size() == 4 && pieces.front() == "127" &&
         std::ranges::all_of(pieces, [](std::string_view piece) {
           const auto number = parse_decimal<unsigned>(piece);
           return number && *number <= 255;
         });
}

std::string encode_query(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto value = static_cast<unsigned char>(c);
    const bool plain =
        (std::isalnum(value) != 0 && value < 0x80) || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", value);
    }
  }
  return out;
}

std::string with_query(std::string url, std::string_view name, std::string_view value) {
  url += url.contains('?') ? '&' : '?';
  url += name;
  url += '=';
  url += encode_query(value);
  return url;
}

}  // namespace bulkhead::registry
