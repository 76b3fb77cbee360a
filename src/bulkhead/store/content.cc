#include "bulkhead/store/content.h"

#include <string>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"

namespace bulkhead::store {
namespace {

constexpr mode_t kPrivate = 0700;

}  // namespace

Result<> Layout::prepare() const {
  for (const std::string& directory :
       {blob_directory(DigestAlgorithm::Sha256), blob_directory(DigestAlgorithm::Sha512), ingest(),
        roots()}) {
    BH_TRY(os::make_directories(directory, kPrivate).context("image store"));
  }
  return {};
}

std::string Layout::blob_directory(DigestAlgorithm algorithm) const {
  return paths_.content() +
         (algorithm == DigestAlgorithm::Sha256 ? "/blobs/sha256" : "/blobs/sha512");
}

std::string Layout::blob(const Digest& digest) const {
  return blob_directory(digest.algorithm()) + "/" + digest.hex();
}

std::string Layout::root(const Digest& chain) const {
  return paths_.roots() + "/" + chain.hex() + std::string(kRootSuffix);
}

std::string Layout::root_record(const Digest& chain) const {
  return paths_.roots() + "/" + chain.hex() + std::string(kRecordSuffix);
}

BlobWriter::~BlobWriter() {
  if (fd_.is_open()) {
    // Nobody kept it. Were this to fail, the session's end removes it.
    static_cast<void>(os::remove_file(path_));
  }
}

Result<> BlobWriter::write(Bytes data) {
  BH_TRY(os::write_all(fd_.get(), data).context("write blob"));
  size_ += data.size();
  return {};
}

}  // namespace bulkhead::store
