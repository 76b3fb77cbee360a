#include "bulkhead/oci/reference.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::oci {
namespace {

constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestTag = 128;
constexpr std::string_view kDefaultRegistry = "docker.io";
constexpr std::string_view kOfficialPrefix = "library/";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_lower(char c) { return (c >= 'a' && c <= 'z') || is_digit(c); }

bool is_alphanumeric(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_port(std::string_view text) {
  const auto port = parse_decimal<std::uint16_t>(text);
  return port.has_value() && *port != 0;
}

bool is_host_label(std::string_view label) {
  return !label.empty() && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return is_alphanumeric(c) || c == '-'; });
}

bool is_bracketed_address(std::string_view host) {
  return host.size() >= 4 && host.front() == '[' && host.back() == ']' &&
         std::ranges::all_of(host.substr(1, host.size() - 2), [](char c) {
           return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'f') || c == ':' || c == '.';
         });
}

bool is_registry(std::string_view text) {
  std::string_view host = text;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) {
      return false;
    }
    host = text.substr(0, end + 1);
    const std::string_view rest = text.substr(end + 1);
    return is_bracketed_address(host) &&
           (rest.empty() || (rest.front() == ':' && is_port(rest.substr(1))));
  }
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    if (!is_port(text.substr(colon + 1))) {
      return false;
    }
    host = text.substr(0, colon);
  }
  return std::ranges::all_of(split(host, '.'), is_host_label);
}

/// [a-z0-9]+ joined by one of ".", "_", "__" or any number of "-".
bool is_path_component(std::string_view text) {
  if (text.empty() || !is_lower(text.front()) || !is_lower(text.back())) {
    return false;
  }
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (is_lower(c)) {
      ++at;
      continue;
    }
    if (c != '.' && c != '_' && c != '-') {
      return false;
    }
    const auto end = std::min(text.find_first_not_of(c, at), text.size());
    const std::size_t length = end - at;
    if (!is_lower(text[end]) || (c == '.' && length > 1) || (c == '_' && length > 2)) {
      return false;
    }
    at = end;
  }
  return true;
}

bool is_64_hex(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

/// Whether what stands before the first slash is a registry and not part of the repository.
bool looks_like_registry(std::string_view first) {
  return first.find_first_of(".:") != std::string_view::npos || first == "localhost";
}

Error malformed(std::string_view text, std::string_view why) {
  return fail(ErrorCode::Invalid, "image reference {}: {}", quote(text), why);
}

}  // namespace

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= kLongestTag &&
         (is_alphanumeric(text.front()) || text.front() == '_') &&
         std::ranges::all_of(
             text, [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

Result<Reference> Reference::parse(std::string_view text) {
  if (text.empty()) {
    return malformed(text, "it is empty");
  }
  Reference reference;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    auto digest = Digest::parse(rest.substr(at + 1));
    if (!digest) {
      return std::move(digest).error().context("image reference " + quote(text));
    }
    reference.digest_ = *digest;
    rest = rest.substr(0, at);
  }
  const auto slash = rest.rfind('/');
  const auto colon = rest.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    const std::string_view tag = rest.substr(colon + 1);
    if (!is_tag(tag)) {
      return malformed(text,
                       "the tag must be 1 to 128 letters, digits, '_', '.' or '-', not beginning "
                       "with '.' or '-'");
    }
    reference.tag_ = std::string(tag);
    rest = rest.substr(0, colon);
  } else if (!reference.digest_) {
    reference.tag_ = "latest";
  }
  if (rest.size() > kLongestName) {
    return malformed(text, "the name is longer than 255 characters");
  }
  std::string_view registry = kDefaultRegistry;
  const auto first_slash = rest.find('/');
  if (first_slash != std::string_view::npos && looks_like_registry(rest.substr(0, first_slash))) {
    registry = rest.substr(0, first_slash);
    rest = rest.substr(first_slash + 1);
    if (!is_registry(registry)) {
      return malformed(text,
                       "what stands before the first '/' is not a host name with or "
                       "without a port");
    }
  }
  std::ranges::transform(registry, std::back_inserter(reference.registry_), to_lower);
  if (reference.registry_ == "index.docker.io") {
    reference.registry_ = kDefaultRegistry;
  }
  if (!std::ranges::all_of(split(rest, '/'), is_path_component)) {
    return malformed(text,
                     "the repository must be lower-case letters and digits, with single '.', '_' "
                     "or '-' between them, and '/' between its parts");
  }
  if (first_slash == std::string_view::npos && is_64_hex(rest)) {
    return malformed(text, "a name of 64 hex digits would be taken for an image id");
  }
  if (reference.registry_ == kDefaultRegistry && !rest.contains('/')) {
    reference.repository_ = kOfficialPrefix;
  }
  reference.repository_ += rest;
  return reference;
}

std::string Reference::tag_or_digest() const {
  return digest_ ? digest_->text() : tag_.value_or("latest");
}

std::string Reference::text() const {
  std::string text = name();
  if (tag_) {
    text += ":" + *tag_;
  }
  if (digest_) {
    text += "@" + digest_->text();
  }
  return text;
}

std::string Reference::familiar_name() const {
  if (registry_ != kDefaultRegistry) {
    return name();
  }
  const std::string_view repository(repository_);
  if (repository.starts_with(kOfficialPrefix) &&
      !repository.substr(kOfficialPrefix.size()).contains('/')) {
    return std::string(repository.substr(kOfficialPrefix.size()));
  }
  return repository_;
}

std::string familiar(const std::string& reference) {
  const auto parsed = Reference::parse(reference);
  return parsed ? parsed->familiar() : reference;
}

std::string Reference::familiar() const { return familiar_name() + text().substr(name().size()); }

Reference Reference::with_tag_only() const {
  Reference reference = *this;
  if (reference.tag_) {
    reference.digest_.reset();
  }
  return reference;
}

}  // namespace bulkhead::oci
