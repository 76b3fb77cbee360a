#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/registry/authorizer.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/registry/hosts.h"
#include "bulkhead/registry/http.h"
#include "bulkhead/registry/url.h"

// The inside of Client, for its own files.

namespace bulkhead::registry {

/// One endpoint at work.
class Client::Host {
 public:
  Host(HttpClient& http, Endpoint endpoint, Authorizer::Options options)
      : endpoint_(std::move(endpoint)), authorizer_(http, std::move(options)) {}

  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }

  [[nodiscard]] Authorizer& authorizer() { return authorizer_; }

  /// Without a slash at the end.
  [[nodiscard]] std::string base_url() const {
    return is_plain_ ? "http" + endpoint_.base_url.substr(std::string_view("https").size())
                     : endpoint_.base_url;
  }

  /// From now on over http.
  void make_plain() { is_plain_ = true; }

  /// "localhost:5000", for messages.
  [[nodiscard]] std::string name() const { return authority_of(endpoint_.base_url); }

 private:
  Endpoint endpoint_;
  Authorizer authorizer_;
  std::atomic<bool> is_plain_ = false;
};

/// One request, as often as it takes.
struct Client::Call {
  std::string method = "GET";
  std::string target;  ///< a path below the base URL ("/library/alpine/tags/list"), or a whole URL
  std::string scope;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// Instead of a body; called for each try.
  std::function<Result<std::unique_ptr<oci::BlobReader>>()> upload;
  std::uint64_t upload_bytes = 0;
  bool is_tried_again = true;
};

/// A blob on its way.
struct Client::UploadSession {
  std::string location;
  std::uint64_t chunk_bytes = 0;  ///< the registry takes no smaller ones
  std::uint64_t offset = 0;       ///< what the registry has taken in
};

inline bool is_success(int status) { return status >= 200 && status < 300; }

}  // namespace bulkhead::registry
