#include "bulkhead/registry/blob_reader.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/registry/client.h"
#include "bulkhead/registry/retry.h"

namespace bulkhead::registry {
namespace {

/// So much between two failures makes the second a first one again: a bad line gets there, a peer
/// that gives a byte a connection does not.
constexpr std::uint64_t kProgress = 1U << 20U;

bool is_passing(ErrorCode code) {
  return code == ErrorCode::Io || code == ErrorCode::Timeout || code == ErrorCode::Corrupt ||
         code == ErrorCode::Unavailable;
}

}  // namespace

Result<std::unique_ptr<BlobReader>> BlobReader::open(std::shared_ptr<Client> client,
                                                     oci::Descriptor descriptor) {
  std::unique_ptr<BlobReader> reader(new BlobReader(std::move(client), std::move(descriptor)));
  BH_TRY(reader->reopen());
  return reader;
}

Result<> BlobReader::reopen() {
  auto answer = client_->blob(descriptor_, is_range_believed_ ? offset_ : 0);
  if (!answer) {
    if (offset_ > 0 && is_range_believed_ && !is_passing(answer.error().code())) {
      // 416 and the like, though the part is there: ask for all of it.
      is_range_believed_ = false;
    }
    return std::move(answer).error();
  }
  skip_ = is_range_believed_ ? answer->skip : offset_;
  response_ = std::move(answer->response);
  return {};
}

Result<std::size_t> BlobReader::read_once(MutableBytes buffer) {
  if (!response_) {
    BH_TRY(reopen());
  }
  while (skip_ > 0) {
    const std::size_t n =
        BH_TRY(response_->read(buffer.first(std::min<std::uint64_t>(buffer.size(), skip_))));
    if (n == 0) {
      return fail(ErrorCode::Corrupt, "{}: the answer ends before byte {}",
                  descriptor_.digest.text(), offset_);
    }
    skip_ -= n;
  }
  const std::size_t n = BH_TRY(response_->read(buffer));
  if (n == 0 && offset_ < descriptor_.size) {
    return fail(ErrorCode::Corrupt, "{}: the answer ends after {} of {} bytes",
                descriptor_.digest.text(), offset_, descriptor_.size);
  }
  return n;
}

Result<std::size_t> BlobReader::read(MutableBytes buffer) {
  while (true) {
    auto n = read_once(buffer);
    if (n) {
      offset_ += *n;
      return n;
    }
    const bool was_asked_for_part = offset_ > 0 && !response_;
    response_.reset();
    const ErrorCode code = n.error().code();
    if (!is_passing(code) && !was_asked_for_part) {
      return n;
    }
    if (was_asked_for_part && code == ErrorCode::Corrupt) {
      is_range_believed_ = false;  // it answered, but with another part
    }
    if (offset_ - failed_at_ >= kProgress) {
      backoff_.reset();
    }
    failed_at_ = offset_;
    const auto wait = backoff_.next();
    if (!wait) {
      return n;
    }
    std::this_thread::sleep_for(*wait);
  }
}

}  // namespace bulkhead::registry
