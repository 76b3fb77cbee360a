#include "bulkhead/images/archive_files.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/store/content.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {
namespace {

constexpr std::uint64_t kMostMembers = 65'536;

/// sha512 where the member is a blob that is named so.
DigestAlgorithm algorithm_for(std::string_view path) {
  return path.starts_with("blobs/sha512/") ? DigestAlgorithm::Sha512 : DigestAlgorithm::Sha256;
}

/// A blob by its name in a layout: its digest if that is well formed.
std::optional<Digest> named_digest(std::string_view path) {
  if (!path.starts_with("blobs/")) {
    return std::nullopt;
  }
  std::string text(path.substr(6));
  if (const auto slash = text.find('/'); slash != std::string::npos) {
    text[slash] = ':';
  }
  auto digest = Digest::parse(text);
  return digest ? std::optional(*std::move(digest)) : std::nullopt;
}

Result<ArchiveFile> keep_file(archive::TarReader& tar, const archive::TarEntry& entry,
                              store::Ingest& ingest) {
  if (const auto digest = named_digest(entry.path); digest && ingest.has(*digest)) {
    return ArchiveFile{*digest, entry.size};
  }
  hash::Hasher hasher = BH_TRY(hash::Hasher::create(algorithm_for(entry.path)));
  store::BlobWriter blob = BH_TRY(ingest.create_blob());
  // The entry's strings are gone with the first piece.
  const std::uint64_t size = entry.size;
  const std::string path(entry.path);
  while (const auto piece = BH_TRY(tar.next_data())) {
    if (piece->offset != blob.size()) {
      break;
    }
    hasher.update(piece->data);
    BH_TRY(blob.write(piece->data));
  }
  if (blob.size() != size) {
    return fail(ErrorCode::Invalid, "member {}: sparse files are not taken", quote(path));
  }
  ArchiveFile file{hasher.finish(), size};
  BH_TRY(ingest.keep(std::move(blob), file.digest));
  return file;
}

/// What a symbolic link in a directory of the archive names, as a name of the archive.
Result<std::string> link_target(std::string_view path, std::string_view link) {
  const auto slash = path.rfind('/');
  std::string joined;
  if (slash != std::string_view::npos && !link.starts_with('/')) {
    joined = path.substr(0, slash + 1);
  }
  joined += link;
  std::string cleaned;
  BH_TRY(archive::clean_entry_path(joined, {}, cleaned));
  return cleaned;
}

}  // namespace

Result<ArchiveFiles> ArchiveFiles::read(archive::Reader& tar_bytes, store::Ingest& ingest) {
  const std::unique_ptr<archive::TarReader> tar =
      BH_TRY(archive::TarReader::create(tar_bytes, {.entries = kMostMembers}));
  ArchiveFiles files;
  while (const archive::TarEntry* entry = BH_TRY(tar->next())) {
    std::string path(entry->path);
    files.files_.erase(path);
    files.links_.erase(path);
    switch (entry->type) {
      case archive::EntryType::Directory:
        break;
      case archive::EntryType::File: {
        ArchiveFile file = BH_TRY(keep_file(*tar, *entry, ingest));
        files.files_.emplace(std::move(path), std::move(file));
        break;
      }
      case archive::EntryType::Symlink: {
        // One that leaves the archive is nobody's until somebody asks for it.
        if (auto target = link_target(path, entry->link)) {
          files.links_.emplace(std::move(path), *std::move(target));
        }
        break;
      }
      default:
        return fail(ErrorCode::Invalid, "member {}: neither file, directory nor symbolic link",
                    quote(path));
    }
  }
  BH_TRY(tar->drain());
  return files;
}

Result<ArchiveFile> ArchiveFiles::file(std::string_view name) const {
  const std::string key(name);
  if (links_.contains(key)) {
    return fail(ErrorCode::Invalid, "member {}: it is a link, where a file is expected",
                quote(name));
  }
  const auto found = files_.find(key);
  if (found == files_.end()) {
    return fail(ErrorCode::NotFound, "member {}: not found", quote(name));
  }
  return found->second;
}

Result<ArchiveFile> ArchiveFiles::file_or_link(std::string_view name) const {
  std::string cleaned;
  BH_TRY(archive::clean_entry_path(name, {}, cleaned));
  const auto link = links_.find(cleaned);
  return file(link == links_.end() ? cleaned : link->second);
}

}  // namespace bulkhead::images
