#include "bulkhead/registry/http.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <curl/curl.h>
#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::registry {
namespace {

constexpr long kConnectSeconds = 15;
constexpr long kStallSeconds = 30;
constexpr std::size_t kMostBuffered = 1U << 20U;
constexpr std::size_t kMostHeaderBytes = 64U << 10U;

struct EasyDeleter {
  void operator()(CURL* handle) const { ::curl_easy_cleanup(handle); }
};

struct MultiDeleter {
  void operator()(CURLM* handle) const { ::curl_multi_cleanup(handle); }
};

struct ListDeleter {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};

struct UrlDeleter {
  void operator()(CURLU* url) const { ::curl_url_cleanup(url); }
};

using Easy = std::unique_ptr<CURL, EasyDeleter>;
using Multi = std::unique_ptr<CURLM, MultiDeleter>;
using List = std::unique_ptr<curl_slist, ListDeleter>;
using Url = std::unique_ptr<CURLU, UrlDeleter>;

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_space(text.back())) {
    text.remove_suffix(1);
  }
  return text;
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
    default:
      return ErrorCode::Unavailable;
  }
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

struct HttpResponse::State {
  Easy easy;
  Multi multi;
  List headers_sent;
  std::string url;
  std::string request_body;
  std::array<char, CURL_ERROR_SIZE> error_text{};

  int status = 0;
  bool head_complete = false;
  bool finished = false;
  CURLcode result = CURLE_OK;
  std::size_t header_bytes = 0;
  std::map<std::string, std::string> headers;

  std::string buffered;
  std::size_t consumed = 0;
  bool paused = false;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  ~State() {
    if (multi && easy) {
      ::curl_multi_remove_handle(multi.get(), easy.get());
    }
  }

  [[nodiscard]] Error failure() const {
    const char* detail =
        error_text.front() != '\0' ? error_text.data() : ::curl_easy_strerror(result);
    return fail(code_of(result), "{}: {}", url, detail);
  }

  /// Runs the transfer until `done` says so or it is over.
  template <class Done>
  Result<> drive(Done done) {
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
      if (!finished && !done()) {
        ::curl_multi_poll(multi.get(), nullptr, 0, 1000, nullptr);
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

  std::size_t take_header(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > kMostHeaderBytes) {
      return 0;
    }
    const std::string_view text = trimmed(line);
    if (text.starts_with("HTTP/")) {
      // A new head: after "100 Continue" or a proxy's answer.
      headers.clear();
      head_complete = false;
    } else if (text.empty()) {
      long code = 0;
      ::curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
      status = static_cast<int>(code);
      head_complete = code >= 200;
    } else if (const auto colon = text.find(':'); colon != std::string_view::npos) {
      headers[lower_case(text.substr(0, colon))] = trimmed(text.substr(colon + 1));
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
    return data.size();
  }
};

HttpResponse::HttpResponse(std::unique_ptr<State> state) : state_(std::move(state)) {}

HttpResponse::~HttpResponse() = default;

int HttpResponse::status() const { return state_->status; }

std::optional<std::string> HttpResponse::header(std::string_view name) const {
  const auto found = state_->headers.find(lower_case(name));
  if (found == state_->headers.end()) {
    return std::nullopt;
  }
  return found->second;
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
  }
}

Result<std::unique_ptr<HttpResponse>> open_http(const HttpRequest& request) {
  auto state = std::make_unique<HttpResponse::State>();
  state->easy.reset(::curl_easy_init());
  state->multi.reset(::curl_multi_init());
  if (!state->easy || !state->multi) {
    return fail(ErrorCode::ResourceExhausted, "{}: no memory for a transfer", request.url);
  }
  state->url = request.url;
  state->request_body = request.body;
  for (const auto& [name, value] : request.headers) {
    // NOLINTNEXTLINE(bugprone-unused-return-value): append returns the same list
    state->headers_sent.reset(::curl_slist_append(state->headers_sent.release(),
                                                  fmt::format("{}: {}", name, value).c_str()));
  }
  CURL* easy = state->easy.get();
  const auto set = [easy](CURLoption option, auto value) {
    return ::curl_easy_setopt(easy, option, value);
  };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  set(CURLOPT_USERAGENT, "bulkhead/" BULKHEAD_VERSION);
  set(CURLOPT_ERRORBUFFER, state->error_text.data());
  set(CURLOPT_HTTPHEADER, state->headers_sent.get());
  set(CURLOPT_HEADERFUNCTION, &HttpResponse::State::on_header);
  set(CURLOPT_HEADERDATA, state.get());
  set(CURLOPT_WRITEFUNCTION, &HttpResponse::State::on_body);
  set(CURLOPT_WRITEDATA, state.get());
  set(CURLOPT_BUFFERSIZE, 512L << 10U);
  if (request.tls == TlsCheck::Skip) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(state->request_body.size()));
    set(CURLOPT_POSTFIELDS, state->request_body.c_str());
  }
  if (::curl_multi_add_handle(state->multi.get(), easy) != CURLM_OK) {
    return fail(ErrorCode::Internal, "{}: cannot begin a transfer", request.url);
  }
  BH_TRY(state->drive([&] { return state->head_complete; }));
  if (!state->head_complete) {
    return state->failure();
  }
  return std::unique_ptr<HttpResponse>(new HttpResponse(std::move(state)));
}

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

}  // namespace bulkhead::registry
