#include "bulkhead/registry/http.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <curl/curl.h>
#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/registry/url.h"

namespace bulkhead::registry {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMostBuffered = 64U << 10U;
constexpr std::size_t kMostHeaderBytes = 64U << 10U;
/// Around a header and its value, with the end of its line.
constexpr std::string_view kHeaderSpace = " \t\r\n";
/// What must move within the stall time-out.
constexpr std::uint64_t kLeastMoved = 1024;
/// A registry that has taken in a large blob may hash it before it answers.
constexpr int kPatienceAfterUpload = 10;

struct EasyDeleter {
  void operator()(CURL* handle) const { ::curl_easy_cleanup(handle); }
};

struct MultiDeleter {
  void operator()(CURLM* handle) const { ::curl_multi_cleanup(handle); }
};

struct ListDeleter {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};

using Easy = std::unique_ptr<CURL, EasyDeleter>;
using Multi = std::unique_ptr<CURLM, MultiDeleter>;
using List = std::unique_ptr<curl_slist, ListDeleter>;

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

ErrorCode code_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return ErrorCode::Timeout;
    case CURLE_SSL_CONNECT_ERROR:
      return ErrorCode::Unsupported;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return ErrorCode::PermissionDenied;
    case CURLE_PARTIAL_FILE:
      return ErrorCode::Corrupt;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return ErrorCode::Invalid;
    case CURLE_OUT_OF_MEMORY:
      return ErrorCode::ResourceExhausted;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return ErrorCode::Io;
    default:
      return ErrorCode::Unavailable;
  }
}

const char* environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? nullptr : value;
}

}  // namespace

HttpTimeouts HttpTimeouts::from_environment() {
  HttpTimeouts timeouts;
  const char* text = environment("BULKHEAD_REGISTRY_TIMEOUT");
  const auto seconds = text == nullptr ? std::nullopt : parse_decimal<int>(text);
  if (seconds && *seconds >= 1 && *seconds <= 3600) {
    timeouts.stall = std::chrono::seconds(*seconds);
    timeouts.connect = std::min(timeouts.connect, timeouts.stall);
  }
  return timeouts;
}

/// Handles with open connections that nobody uses at the moment.
class HttpClient::Connections {
 public:
  Multi take() {
    const std::lock_guard guard(mutex_);
    if (idle_.empty()) {
      return Multi(::curl_multi_init());
    }
    Multi multi = std::move(idle_.back());
    idle_.pop_back();
    return multi;
  }

  void give_back(Multi multi) {
    const std::lock_guard guard(mutex_);
    if (idle_.size() < kMostIdle) {
      idle_.push_back(std::move(multi));
    }
  }

 private:
  static constexpr std::size_t kMostIdle = 8;

  std::mutex mutex_;
  std::vector<Multi> idle_;
};

struct HttpResponse::State {
  std::shared_ptr<HttpClient::Connections> connections;
  HttpTimeouts timeouts;
  Multi multi;
  Easy easy;
  List headers_sent;
  std::string url;
  std::string method;
  std::string request_body;
  std::string authorities;
  std::array<char, CURL_ERROR_SIZE> error_text{};

  oci::BlobReader* upload = nullptr;
  std::uint64_t upload_left = 0;
  std::optional<Error> own_failure;  ///< of a callback

  int status = 0;
  bool head_complete = false;
  bool finished = false;
  CURLcode result = CURLE_OK;
  std::size_t header_bytes = 0;
  std::map<std::string, std::vector<std::string>> headers;

  std::string buffered;
  std::size_t consumed = 0;
  bool paused = false;

  std::uint64_t moved = 0;          ///< bytes, both ways
  std::uint64_t moved_at_mark = 0;  ///< when `waited` began
  steady_clock::duration waited{};  ///< for the peer, not for whoever reads

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  ~State() {
    if (multi && easy) {
      ::curl_multi_remove_handle(multi.get(), easy.get());
      easy.reset();
      connections->give_back(std::move(multi));
    }
  }

  [[nodiscard]] Error failure() const {
    if (own_failure) {
      return *own_failure;
    }
    const char* detail =
        error_text.front() != '\0' ? error_text.data() : ::curl_easy_strerror(result);
    return fail(code_of(result), "{}: {}", url, detail);
  }

  [[nodiscard]] steady_clock::duration patience() const {
    const bool commits = !head_complete && method != "GET" && method != "HEAD" && upload_left == 0;
    return commits ? timeouts.stall * kPatienceAfterUpload : timeouts.stall;
  }

  /// Runs the transfer until `done` says so or it is over.
  template <class Done>
  Result<> drive(Done done) {
    auto last = steady_clock::now();
    while (!finished && !done()) {
      int running = 0;
      if (::curl_multi_perform(multi.get(), &running) != CURLM_OK) {
        return fail(ErrorCode::Internal, "{}: transfer failed", url);
      }
      int left = 0;
      while (const CURLMsg* message = ::curl_multi_info_read(multi.get(), &left)) {
        if (message->msg == CURLMSG_DONE) {
          finished = true;
          result = message->data.result;
        }
      }
      if (finished || done()) {
        break;
      }
      ::curl_multi_poll(multi.get(), nullptr, 0, 1000, nullptr);
      const auto now = steady_clock::now();
      waited += now - last;
      last = now;
      if (moved - moved_at_mark >= kLeastMoved) {
        moved_at_mark = moved;
        waited = {};
      } else if (waited > patience()) {
        return fail(ErrorCode::Timeout, "{}: nothing came for {} seconds", url,
                    std::chrono::duration_cast<std::chrono::seconds>(waited).count());
      }
    }
    return {};
  }

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
    return static_cast<State*>(user)->take_header({data, size * count});
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
    return static_cast<State*>(user)->take_body({data, size * count});
  }

  static std::size_t on_upload(char* data, std::size_t size, std::size_t count, void* user) {
    return static_cast<State*>(user)->give_body(
        std::as_writable_bytes(std::span(data, size * count)));
  }

  std::size_t take_header(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > kMostHeaderBytes) {
      own_failure = fail(ErrorCode::ResourceExhausted,
                         "{}: answer with headers of more than {} "
                         "bytes",
                         url, kMostHeaderBytes);
      return 0;
    }
    const std::string_view text = trimmed(line, kHeaderSpace);
    if (head_complete && status >= 200) {
      return line.size();  // trailers
    }
    if (text.starts_with("HTTP/")) {
      // A new head: after "100 Continue".
      headers.clear();
      head_complete = false;
    } else if (text.empty()) {
      long code = 0;
      ::curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
      status = static_cast<int>(code);
      head_complete = code >= 200;
    } else if (const auto colon = text.find(':'); colon != std::string_view::npos) {
      headers[lower_case(text.substr(0, colon))].emplace_back(
          trimmed(text.substr(colon + 1), kHeaderSpace));
    }
    return line.size();
  }

  std::size_t take_body(std::string_view data) {
    if (buffered.size() - consumed > kMostBuffered) {
      paused = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    if (consumed == buffered.size()) {
      buffered.clear();
      consumed = 0;
    }
    buffered += data;
    moved += data.size();
    return data.size();
  }

  std::size_t give_body(MutableBytes buffer) {
    if (upload == nullptr) {
      return CURL_READFUNC_ABORT;  // the answer is there already
    }
    const auto room = std::min<std::uint64_t>(buffer.size(), upload_left);
    if (room == 0) {
      return 0;
    }
    const auto n = upload->read(buffer.first(room));
    if (!n) {
      own_failure = n.error();
      return CURL_READFUNC_ABORT;
    }
    if (*n == 0) {
      own_failure = fail(ErrorCode::Corrupt, "{}: what is to be sent ends {} bytes too soon", url,
                         upload_left);
      return CURL_READFUNC_ABORT;
    }
    upload_left -= *n;
    moved += *n;
    return *n;
  }

  void set_up(const HttpRequest& request);
  void set_up_tls(const TlsOptions& tls);
  void set_up_proxy();
  void set_up_body(const HttpRequest& request);

  template <class Value>
  void set(CURLoption option, Value value) {
    ::curl_easy_setopt(easy.get(), option, value);
  }
};

void HttpResponse::State::set_up_tls(const TlsOptions& tls) {
  if (const char* file = environment("SSL_CERT_FILE")) {
    set(CURLOPT_CAINFO, file);
  }
  if (const char* directory = environment("SSL_CERT_DIR")) {
    set(CURLOPT_CAPATH, directory);
  }
  if (!tls.authorities.empty()) {
    // Takes the place of CAINFO; the system's are still found in CAPATH.
    authorities = tls.authorities;
    curl_blob blob{
        .data = authorities.data(), .len = authorities.size(), .flags = CURL_BLOB_NOCOPY};
    ::curl_easy_setopt(easy.get(), CURLOPT_CAINFO_BLOB, &blob);
  }
  if (!tls.certificate_file.empty()) {
    set(CURLOPT_SSLCERT, tls.certificate_file.c_str());
    set(CURLOPT_SSLKEY, (tls.key_file.empty() ? tls.certificate_file : tls.key_file).c_str());
  }
  if (tls.check == TlsCheck::Skip) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

/// What curl does not do of itself: HTTP_PROXY in capitals, as Go's programs have it (but not in a
/// CGI program, where a request's Proxy header would set it), and no proxy for loopback.
void HttpResponse::State::set_up_proxy() {
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  const auto origin = origin_of(url);
  if (origin && is_loopback_host(origin->host)) {
    set(CURLOPT_NOPROXY, "*");
    return;
  }
  const char* proxy = environment("HTTP_PROXY");
  if (origin && origin->scheme == "http" && proxy != nullptr &&
      environment("http_proxy") == nullptr && environment("REQUEST_METHOD") == nullptr) {
    set(CURLOPT_PROXY, proxy);
  }
}

void HttpResponse::State::set_up_body(const HttpRequest& request) {
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
    return;
  }
  if (request.method == "GET") {
    return;
  }
  set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.upload != nullptr) {
    upload = request.upload;
    upload_left = request.upload_bytes;
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, &State::on_upload);
    set(CURLOPT_READDATA, this);
    set(CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10U);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload_bytes));
  } else if (request.method != "DELETE") {
    request_body = request.body;
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_body.size()));
    set(CURLOPT_POSTFIELDS, request_body.c_str());
  }
}

void HttpResponse::State::set_up(const HttpRequest& request) {
  url = request.url;
  method = request.method;
  bool has_type = false;
  const auto add_header = [&](const std::string& line) {
    // NOLINTNEXTLINE(bugprone-unused-return-value): append returns the same list
    headers_sent.reset(::curl_slist_append(headers_sent.release(), line.c_str()));
  };
  for (const auto& [name, value] : request.headers) {
    add_header(fmt::format("{}: {}", name, value));
    has_type = has_type || lower_case(name) == "content-type";
  }
  if (!has_type) {
    add_header("Content-Type:");  // not curl's own, a form's
  }
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(timeouts.connect.count()));
  set(CURLOPT_USERAGENT, "bulkhead/" BULKHEAD_VERSION);
  set(CURLOPT_ERRORBUFFER, error_text.data());
  set(CURLOPT_HTTPHEADER, headers_sent.get());
  set(CURLOPT_HEADERFUNCTION, &State::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &State::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_BUFFERSIZE, 64L << 10U);
  set_up_tls(request.tls);
  set_up_proxy();
  set_up_body(request);
}

HttpResponse::HttpResponse(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpResponse::~HttpResponse() = default;

int HttpResponse::status() const { return state_->status; }

const std::string& HttpResponse::url() const { return state_->url; }

std::optional<std::string> HttpResponse::header(std::string_view name) const {
  const auto found = state_->headers.find(lower_case(name));
  if (found == state_->headers.end()) {
    return std::nullopt;
  }
  return found->second.back();
}

std::vector<std::string> HttpResponse::headers(std::string_view name) const {
  const auto found = state_->headers.find(lower_case(name));
  return found == state_->headers.end() ? std::vector<std::string>() : found->second;
}

Result<std::size_t> HttpResponse::read(MutableBytes buffer) {
  State& state = *state_;
  if (state.consumed == state.buffered.size()) {
    if (state.paused) {
      state.paused = false;
      ::curl_easy_pause(state.easy.get(), CURLPAUSE_CONT);
    }
    BH_TRY(state.drive([&] { return state.consumed < state.buffered.size(); }));
  }
  const std::size_t n = std::min(buffer.size(), state.buffered.size() - state.consumed);
  if (n == 0) {
    if (state.result != CURLE_OK) {
      return state.failure();
    }
    return 0U;
  }
  std::memcpy(buffer.data(), state.buffered.data() + state.consumed, n);
  state.consumed += n;
  return n;
}

Result<std::string> HttpResponse::read_all(std::size_t limit) {
  std::string content;
  std::array<std::byte, 65536> buffer{};
  const auto deadline = steady_clock::now() + state_->timeouts.document;
  while (true) {
    const std::size_t n = BH_TRY(read(buffer));
    if (n == 0) {
      return content;
    }
    if (n > limit - content.size()) {
      return fail(ErrorCode::ResourceExhausted, "{}: answer of more than {} bytes", state_->url,
                  limit);
    }
    content += as_text(std::span(buffer).first(n));
    if (steady_clock::now() > deadline) {
      return fail(ErrorCode::Timeout, "{}: {} bytes came in {} seconds, and not all is there",
                  state_->url, content.size(), state_->timeouts.document.count());
    }
  }
}

HttpClient::HttpClient(HttpTimeouts timeouts)
    : timeouts_(timeouts), connections_(std::make_shared<Connections>()) {}

HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpResponse>> HttpClient::open(const HttpRequest& request) {
  auto state = std::make_unique<HttpResponse::State>();
  state->connections = connections_;
  state->timeouts = timeouts_;
  state->multi = connections_->take();
  state->easy.reset(::curl_easy_init());
  if (!state->easy || !state->multi) {
    return fail(ErrorCode::ResourceExhausted, "{}: no memory for a transfer", request.url);
  }
  state->set_up(request);
  if (::curl_multi_add_handle(state->multi.get(), state->easy.get()) != CURLM_OK) {
    return fail(ErrorCode::Internal, "{}: cannot begin a transfer", request.url);
  }
  BH_TRY(state->drive([&] { return state->head_complete; }));
  state->upload = nullptr;
  if (!state->head_complete) {
    return state->failure();
  }
  return std::unique_ptr<HttpResponse>(new HttpResponse(std::move(state)));
}

}  // namespace bulkhead::registry
