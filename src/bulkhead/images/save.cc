#include "bulkhead/images/save.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bulkhead/archive/output.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/archive/tar_writer.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/outgoing_image.h"
#include "bulkhead/images/streams.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

std::string blob_name(const Digest& digest) {
  return "blobs/" + std::string(digest.algorithm_name()) + "/" + digest.hex();
}

/// Where the files of an archive go.
class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;

  virtual Result<> directory(const std::string& name) = 0;
  virtual Result<> file(const std::string& name, std::uint64_t size, archive::Reader& content) = 0;
  virtual Result<> finish() = 0;
};

class TarSink final : public Sink {
 public:
  explicit TarSink(archive::Writer& out) : tar_(out) {}

  // Owner root and time 0: the same images give the same bytes.

  Result<> directory(const std::string& name) override {
    archive::TarEntry entry;
    entry.path = name;
    entry.type = archive::EntryType::Directory;
    entry.permissions = 0755;
    return tar_.add(entry);
  }

  Result<> file(const std::string& name, std::uint64_t size, archive::Reader& content) override {
    archive::TarEntry entry;
    entry.path = name;
    entry.permissions = 0644;
    entry.size = size;
    BH_TRY(tar_.add(entry));
    std::uint64_t left = size;
    while (true) {
      const Bytes piece = BH_TRY(content.next());
      if (piece.empty() && left == 0) {
        return {};
      }
      if (piece.empty() || piece.size() > left) {
        return fail(ErrorCode::Corrupt, "{}: {} bytes are missing or too many", name,
                    piece.empty() ? left : piece.size() - left);
      }
      left -= piece.size();
      BH_TRY(tar_.write(piece));
    }
  }

  Result<> finish() override { return tar_.finish(); }

 private:
  archive::TarWriter tar_;
};

class DirectorySink final : public Sink {
 public:
  explicit DirectorySink(std::string path) : path_(std::move(path)) {}

  Result<> directory(const std::string& name) override {
    return os::make_directories(path_ + "/" + name);
  }

  Result<> file(const std::string& name, std::uint64_t /*size*/,
                archive::Reader& content) override {
    const os::UniqueFd fd =
        BH_TRY(os::open_file(path_ + "/" + name, O_WRONLY | O_CREAT | O_EXCL, 0644));
    archive::FdWriter out(fd.get());
    std::ignore = BH_TRY(archive::copy(content, out));
    return {};
  }

  Result<> finish() override { return {}; }

 private:
  std::string path_;
};

/// A name and what goes out under it.
struct Named {
  store::ImageRecord record;
  oci::Reference reference;
};

class Saver {
 public:
  Saver(const store::Store& store, Sink& sink) : store_(store), sink_(sink) {}

  Result<> oci(const std::vector<Named>& images, const SaveOptions& options) {
    const std::string layout = R"({"imageLayoutVersion":"1.0.0"})";
    BH_TRY(text_file("oci-layout", layout));
    oci::Index index{.media_type = std::string(oci::kOciIndex)};
    std::map<Digest, std::uint64_t> blobs;
    std::map<Digest, std::string> made;
    for (const Named& image : images) {
      OutgoingImage outgoing = BH_TRY(select_outgoing(store_, image.record, options.which)
                                          .context("image " + image.reference.familiar()));
      oci::Descriptor top = outgoing.documents.back();
      if (outgoing.made) {
        made[top.digest] = *std::move(outgoing.made);
        outgoing.documents.pop_back();
      }
      for (const auto& list : {outgoing.documents, outgoing.blobs}) {
        for (const oci::Descriptor& blob : list) {
          blobs[blob.digest] = blob.size;
        }
      }
      top.annotations["io.containerd.image.name"] = image.reference.text();
      top.annotations["org.opencontainers.image.ref.name"] = ref_name(image, images);
      index.manifests.push_back(std::move(top));
    }
    BH_TRY(text_file("index.json", index.serialise()));
    BH_TRY(blob_directories(blobs));
    for (const auto& [digest, content] : made) {
      BH_TRY(text_file(blob_name(digest), content));
    }
    return write_blobs(blobs);
  }

  Result<> docker(const std::vector<Named>& images, const SaveOptions& options) {
    std::map<Digest, std::uint64_t> blobs;
    json::Array entries;
    std::vector<Digest> manifests;
    for (const Named& image : images) {
      const oci::Descriptor descriptor =
          BH_TRY(select_one(store_, image.record, options.which)
                     .context("image " + image.reference.familiar()));
      if (std::ranges::find(manifests, descriptor.digest) != manifests.end()) {
        continue;  // Under its other name already.
      }
      manifests.push_back(descriptor.digest);
      const std::string content = BH_TRY(read_document(store_, descriptor));
      const oci::Manifest manifest = BH_TRY(oci::parse_manifest(content, descriptor.media_type));
      entries.push_back(docker_entry(manifest, tags_of(image, images), blobs));
    }
    BH_TRY(text_file("manifest.json", json::write(entries)));
    BH_TRY(blob_directories(blobs));
    return write_blobs(blobs);
  }

 private:
  /// The tag, or the whole name where two images have the same tag.
  static std::string ref_name(const Named& image, const std::vector<Named>& images) {
    const auto& tag = image.reference.tag();
    const auto same_tag = std::ranges::count_if(
        images, [&](const Named& other) { return other.reference.tag() == tag; });
    return tag && same_tag == 1 ? *tag : image.reference.familiar();
  }

  static std::vector<std::string> tags_of(const Named& image, const std::vector<Named>& images) {
    std::vector<std::string> tags;
    for (const Named& other : images) {
      if (other.record.manifest == image.record.manifest && other.reference.tag()) {
        tags.push_back(other.reference.with_tag_only().familiar());
      }
    }
    return tags;
  }

  static json::Value docker_entry(const oci::Manifest& manifest,
                                  const std::vector<std::string>& tags,
                                  std::map<Digest, std::uint64_t>& blobs) {
    std::vector<std::string> layers;
    for (const oci::Descriptor& layer : manifest.layers) {
      layers.push_back(blob_name(layer.digest));
      blobs[layer.digest] = layer.size;
    }
    blobs[manifest.config.digest] = manifest.config.size;
    json::Value entry;
    entry.set("Config", blob_name(manifest.config.digest));
    entry.set("RepoTags", tags);
    entry.set("Layers", layers);
    return entry;
  }

  Result<> text_file(const std::string& name, const std::string& content) {
    archive::BytesReader reader(as_bytes(content));
    return sink_.file(name, content.size(), reader);
  }

  Result<> blob_directories(const std::map<Digest, std::uint64_t>& blobs) {
    BH_TRY(sink_.directory("blobs"));
    BH_TRY(sink_.directory("blobs/sha256"));
    const bool has_sha512 = std::ranges::any_of(
        blobs, [](const auto& blob) { return blob.first.algorithm() == DigestAlgorithm::Sha512; });
    return has_sha512 ? sink_.directory("blobs/sha512") : Result<>();
  }

  Result<> write_blobs(const std::map<Digest, std::uint64_t>& blobs) {
    for (const auto& [digest, size] : blobs) {
      os::UniqueFd fd = BH_TRY(store_.open_blob(digest));
      FileReader file(std::move(fd));
      hash::Hasher hasher = BH_TRY(hash::Hasher::create(digest.algorithm()));
      archive::HashingReader hashing(file, hasher);
      BH_TRY(sink_.file(blob_name(digest), size, hashing));
      if (hasher.finish() != digest || hashing.bytes_read() != size) {
        return fail(ErrorCode::Corrupt, "blob {} is damaged: pull or load it again", digest.text());
      }
    }
    return {};
  }

  const store::Store& store_;
  Sink& sink_;
};

Result<> write_images(const store::Store& store, const std::vector<Named>& images, Sink& sink,
                      const SaveOptions& options) {
  Saver saver(store, sink);
  BH_TRY(options.format == SaveFormat::DockerArchive ? saver.docker(images, options)
                                                     : saver.oci(images, options));
  return sink.finish();
}

Result<> write_directory(const store::Store& store, const std::vector<Named>& images,
                         const std::string& path, const SaveOptions& options) {
  const bool existed = os::path_exists(path);
  if (existed && !BH_TRY(os::list_directory(path)).empty()) {
    return fail(ErrorCode::AlreadyExists, "it is not empty");
  }
  BH_TRY(os::make_directories(path));
  DirectorySink sink(path);
  auto written = write_images(store, images, sink, options);
  if (!written) {
    BH_TRY(os::remove_tree(path));
    if (existed) {
      BH_TRY(os::make_directories(path));
    }
  }
  return written;
}

Result<> write_archive(const store::Store& store, const std::vector<Named>& images,
                       const std::string& path, const SaveOptions& options) {
  return archive::write_output(path, [&](archive::Writer& to) {
    TarSink sink(to);
    return write_images(store, images, sink, options);
  });
}

}  // namespace

Result<> save(store::Store& store, const std::vector<std::string>& names, const std::string& path,
              const SaveOptions& options) {
  // Held to the end, so that nothing is collected meanwhile.
  const os::FileLock use = BH_TRY(store.hold_content());
  std::vector<Named> images;
  for (const std::string& name : names) {
    const std::optional<store::ImageRecord> record = BH_TRY(store.find_record(name));
    if (!record) {
      return fail(ErrorCode::NotFound, "save: image {}: not found", quote(name));
    }
    oci::Reference reference = BH_TRY(oci::Reference::parse(record->reference));
    const auto is_same = [&](const Named& other) { return other.reference == reference; };
    if (std::ranges::none_of(images, is_same)) {
      images.push_back({*record, std::move(reference)});
    }
  }
  auto written = options.format == SaveFormat::OciDirectory
                     ? write_directory(store, images, path, options)
                     : write_archive(store, images, path, options);
  return std::move(written).context("save " + (path == "-" ? "standard output" : path));
}

}  // namespace bulkhead::images
