#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::store {

/// Files of roots end with a hole, up to a multiple of this: to a machine that goes on from a saved
/// one its disks must look as the saved one's did.
inline constexpr std::uint64_t kRootFileUnit = std::uint64_t{64} << 30U;

/// Of the two files of a root: the image, and the record of its layers.
inline constexpr std::string_view kRootSuffix = ".ext4";
inline constexpr std::string_view kRecordSuffix = ".layers";

/// Where things lie on disk: docs/formats/store.md.
class Layout {
 public:
  explicit Layout(config::Paths paths) : paths_(std::move(paths)) {}

  /// Makes the directories. Errors: PermissionDenied, NoSpace.
  [[nodiscard]] Result<> prepare() const;

  [[nodiscard]] std::string blob(const Digest& digest) const;
  [[nodiscard]] std::string blob_directory(DigestAlgorithm algorithm) const;
  [[nodiscard]] std::string root(const Digest& chain) const;
  /// The record of its layers.
  [[nodiscard]] std::string root_record(const Digest& chain) const;

  [[nodiscard]] std::string roots() const { return paths_.roots(); }

  [[nodiscard]] std::string ingest() const { return paths_.content() + "/ingest"; }

  /// Held shared by whoever adds content or is about to use some, exclusively by the collector.
  [[nodiscard]] std::string content_lock() const { return paths_.content() + "/lock"; }

  [[nodiscard]] std::string database() const { return paths_.images_database(); }

  [[nodiscard]] std::string containers() const { return paths_.containers(); }

 private:
  config::Paths paths_;
};

/// Writes one blob into an ingest session. What was written is kept only by Ingest::keep().
class BlobWriter {
 public:
  BlobWriter(BlobWriter&&) noexcept = default;
  BlobWriter& operator=(BlobWriter&&) noexcept = default;
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;
  ~BlobWriter();

  /// Errors: NoSpace, Io.
  Result<> write(Bytes data);

  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// For reading what was written so far, by offset.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  friend class Ingest;

  BlobWriter(os::UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  os::UniqueFd fd_;
  std::string path_;
  std::uint64_t size_ = 0;
};

}  // namespace bulkhead::store
