#include "bulkhead/images/load.h"

#include <fcntl.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/images/archive_files.h"
#include "bulkhead/images/docker_archive.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/layout.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/oci/blob_source.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

constexpr int kStandardInput = 0;

using OpenBlob = std::function<Result<os::UniqueFd>(const Digest&)>;

/// Images by name, and blobs by digest from wherever `open_blob` finds them.
class LocalSource final : public oci::BlobSource {
 public:
  LocalSource(const std::vector<NamedImage>& images, OpenBlob open_blob)
      : images_(images), open_blob_(std::move(open_blob)) {}

  Result<Resolved> resolve(const oci::Reference& reference) override {
    const auto found = std::ranges::find(images_, reference, &NamedImage::reference);
    if (found == images_.end()) {
      return fail(ErrorCode::NotFound, "not found");
    }
    const oci::Descriptor& descriptor = found->descriptor;
    const os::UniqueFd fd = BH_TRY(open_blob_(descriptor.digest));
    std::string content = BH_TRY(os::read_to_end(fd.get(), oci::kLargestDocument)
                                     .context("manifest " + descriptor.digest.text()));
    return Resolved{descriptor, std::move(content)};
  }

  Result<std::unique_ptr<oci::BlobReader>> open(const oci::Descriptor& descriptor) override {
    auto blob = open_blob_(descriptor.digest);
    if (!blob && oci::is_foreign_layer(descriptor.media_type)) {
      // No fault of the archive's: it need not have it.
      return Error(ErrorCode::NotFound, std::string(blob.error().message()));
    }
    return std::unique_ptr<oci::BlobReader>(
        std::make_unique<FdBlobReader>(BH_TRY(std::move(blob))));
  }

 private:
  const std::vector<NamedImage>& images_;
  OpenBlob open_blob_;
};

Result<std::vector<store::ImageRecord>> fetch_all(store::Ingest& ingest,
                                                  const std::vector<NamedImage>& images,
                                                  OpenBlob open_blob, const FetchOptions& options) {
  LocalSource source(images, std::move(open_blob));
  std::vector<store::ImageRecord> records;
  records.reserve(images.size());
  for (const NamedImage& image : images) {
    records.push_back(BH_TRY(fetch_into(ingest, source, image.reference, options)));
  }
  return records;
}

/// A regular file below the directory; no link, nor anything that blocks or is a device.
Result<os::UniqueFd> open_regular(int directory, const std::string& path) {
  os::UniqueFd fd =
      BH_TRY(os::open_beneath(directory, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).context(path));
  if (!BH_TRY(os::file_info(fd.get())).is_regular()) {
    return fail(ErrorCode::Invalid, "{}: it is no regular file", path);
  }
  return fd;
}

Result<std::string> read_regular(int directory, const std::string& path) {
  const os::UniqueFd fd = BH_TRY(open_regular(directory, path));
  return os::read_to_end(fd.get(), oci::kLargestDocument).context(path);
}

Result<std::vector<store::ImageRecord>> load_directory(store::Ingest& ingest,
                                                       const std::string& path,
                                                       const FetchOptions& options) {
  const os::UniqueFd directory = BH_TRY(os::open_file(path, O_RDONLY | O_DIRECTORY));
  const auto layout = read_regular(directory.get(), "oci-layout");
  if (!layout && layout.error().code() == ErrorCode::NotFound) {
    return fail(ErrorCode::Invalid, "it is no OCI image layout: there is no file oci-layout in it");
  }
  if (!layout) {
    return layout.error();
  }
  BH_TRY(check_layout(*layout));
  const oci::Index index =
      BH_TRY(oci::parse_index(BH_TRY(read_regular(directory.get(), "index.json"))));
  const std::vector<NamedImage> images =
      BH_TRY(layout_images(index, base_name_for(path), options.platform));
  const auto open_blob = [&](const Digest& digest) {
    return open_regular(directory.get(),
                        "blobs/" + std::string(digest.algorithm_name()) + "/" + digest.hex());
  };
  return fetch_all(ingest, images, open_blob, options);
}

/// The images of an archive whose files are in the session.
Result<std::vector<NamedImage>> archive_images(const ArchiveFiles& files, store::Ingest& ingest,
                                               const std::string& base_name,
                                               const oci::Platform& platform) {
  const auto read = [&](const char* name) -> Result<std::string> {
    const ArchiveFile file = BH_TRY(files.file(name));
    return ingest.read(file.digest, oci::kLargestDocument).context(name);
  };
  if (files.has("oci-layout") && files.has("index.json")) {
    BH_TRY(check_layout(BH_TRY(read("oci-layout"))));
    const oci::Index index = BH_TRY(oci::parse_index(BH_TRY(read("index.json"))));
    return layout_images(index, base_name, platform);
  }
  const auto manifest = read("manifest.json");
  if (manifest) {
    return docker_archive_images(*manifest, files, ingest, base_name);
  }
  if (manifest.error().code() != ErrorCode::NotFound) {
    return manifest.error();
  }
  return fail(ErrorCode::Invalid,
              "it is no image archive: neither index.json nor manifest.json is in it (a plain root "
              "file system comes in by `bulkhead image import`)");
}

Result<std::vector<store::ImageRecord>> load_archive(store::Ingest& ingest, int fd,
                                                     const std::string& path,
                                                     const FetchOptions& options) {
  archive::FdReader file(fd);
  const archive::DetectedInflater tar = BH_TRY(archive::detect_inflater(file));
  const ArchiveFiles files = BH_TRY(ArchiveFiles::read(*tar.reader, ingest));
  const std::vector<NamedImage> images = BH_TRY(
      archive_images(files, ingest, base_name_for(path == "-" ? "image" : path), options.platform));
  const auto open_blob = [&](const Digest& digest) -> Result<os::UniqueFd> {
    auto blob = ingest.open(digest);
    if (!blob && blob.error().code() == ErrorCode::NotFound) {
      return fail(ErrorCode::Corrupt, "blob {}: it is not in the archive, or damaged there",
                  digest.text());
    }
    return blob;
  };
  return fetch_all(ingest, images, open_blob, options);
}

}  // namespace

Result<std::vector<store::ImageRecord>> load(store::Store& store, const std::string& path,
                                             const FetchOptions& options) {
  auto records = [&]() -> Result<std::vector<store::ImageRecord>> {
    store::Ingest ingest = BH_TRY(store.begin_ingest());
    if (path == "-") {
      return load_archive(ingest, kStandardInput, path, options);
    }
    const os::UniqueFd fd = BH_TRY(os::open_file(path, O_RDONLY));
    if (BH_TRY(os::file_info(fd.get())).is_directory()) {
      return load_directory(ingest, path, options);
    }
    return load_archive(ingest, fd.get(), path, options);
  }();
  if (!records) {
    return std::move(records).error().context("load " + (path == "-" ? "standard input" : path));
  }
  BH_TRY(store.collect_garbage());
  return records;
}

}  // namespace bulkhead::images
