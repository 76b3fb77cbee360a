#include "bulkhead/archive/tar_writer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::archive {
namespace {

constexpr std::size_t kRecord = 512;
constexpr std::size_t kBuffer = 64U << 10U;
constexpr std::size_t kNameField = 100;
constexpr std::uint64_t kMaxId = 07777777;
constexpr std::uint64_t kMaxSize = 077777777777;
constexpr std::int64_t kMaxTime = 077777777777;

struct UstarHeader {
  std::array<char, kNameField> name;
  std::array<char, 8> mode;
  std::array<char, 8> uid;
  std::array<char, 8> gid;
  std::array<char, 12> size;
  std::array<char, 12> mtime;
  std::array<char, 8> checksum;
  char type;
  std::array<char, kNameField> link;
  std::array<char, 8> magic;
  std::array<char, 64> owner_names;
  std::array<char, 8> device_major;
  std::array<char, 8> device_minor;
  std::array<char, 167> prefix;
};

static_assert(sizeof(UstarHeader) == kRecord);

void put_text(std::span<char> field, std::string_view text) {
  std::ranges::copy(text.substr(0, field.size()), field.begin());
}

void put_octal(std::span<char> field, std::uint64_t value) {
  put_text(field, fmt::format("{:0{}o}", value, field.size() - 1));
}

void seal(UstarHeader& header) {
  put_text(header.magic, std::string_view("ustar\00000", 8));
  header.checksum.fill(' ');
  unsigned sum = 0;
  for (const std::byte byte : object_bytes(std::as_const(header))) {
    sum += static_cast<unsigned>(byte);
  }
  put_text(header.checksum, fmt::format("{:06o}", sum) + std::string(1, '\0'));
}

/// "LENGTH KEY=VALUE\n", where the length counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (fmt::formatted_size("{}", length) + rest != length) {
    length = fmt::formatted_size("{}", length) + rest;
  }
  return fmt::format("{} {}={}\n", length, key, value);
}

std::string time_text(const EntryTime& time) {
  if (time.seconds >= 0 || time.nanoseconds == 0) {
    return time.nanoseconds == 0 ? fmt::format("{}", time.seconds)
                                 : fmt::format("{}.{:09}", time.seconds, time.nanoseconds);
  }
  // The sign is of the whole number, as POSIX and GNU tar have it: -2 s and 0.75 s are -1.25.
  // libarchive 3.6 reads that as -1 s and 0.25 s.
  return fmt::format("-{}.{:09}", -(time.seconds + 1), 1'000'000'000 - time.nanoseconds);
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t size = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
    if (size == 0 || size > text.size() - at) {
      return false;
    }
    for (std::size_t i = 1; i < size; ++i) {
      if ((static_cast<unsigned char>(text[at + i]) & 0xc0U) != 0x80) {
        return false;
      }
    }
    at += size;
  }
  return true;
}

/// GNU tar's escapes, where the key would end too early.
std::string xattr_key(std::string_view name) {
  std::string key = "SCHILY.xattr.";
  const bool has_equals = name.find('=') != std::string_view::npos;
  for (const char c : name) {
    if (has_equals && (c == '=' || c == '%')) {
      key += c == '=' ? "%3D" : "%25";
    } else {
      key += c;
    }
  }
  return key;
}

char type_flag(EntryType type) {
  switch (type) {
    case EntryType::File:
      return '0';
    case EntryType::HardLink:
      return '1';
    case EntryType::Symlink:
      return '2';
    case EntryType::CharacterDevice:
      return '3';
    case EntryType::BlockDevice:
      return '4';
    case EntryType::Directory:
      return '5';
    case EntryType::Fifo:
      return '6';
    case EntryType::Socket:
      break;
  }
  return '\0';
}

/// As it stands in the archive: with a slash behind directories, so that the root has a name.
std::string stored_path(const TarEntry& entry) {
  std::string path(entry.path.empty() ? std::string_view(".") : entry.path);
  if (entry.type == EntryType::Directory) {
    path += '/';
  }
  return path;
}

/// What does not fit ustar.
std::string pax_records(const TarEntry& entry, std::string_view path, std::uint64_t stored_size) {
  std::string records;
  if (!is_utf8(path) || !is_utf8(entry.link)) {
    records += pax_record("hdrcharset", "BINARY");
  }
  if (path.size() > kNameField) {
    records += pax_record("path", path);
  }
  if (entry.link.size() > kNameField) {
    records += pax_record("linkpath", entry.link);
  }
  if (entry.uid > kMaxId) {
    records += pax_record("uid", fmt::format("{}", entry.uid));
  }
  if (entry.gid > kMaxId) {
    records += pax_record("gid", fmt::format("{}", entry.gid));
  }
  if (stored_size > kMaxSize) {
    records += pax_record("size", fmt::format("{}", stored_size));
  }
  const EntryTime& modified = entry.modified;
  if (modified.nanoseconds != 0 || modified.seconds < 0 || modified.seconds > kMaxTime) {
    records += pax_record("mtime", time_text(modified));
  }
  if (entry.accessed) {
    records += pax_record("atime", time_text(*entry.accessed));
  }
  for (const EntryXattr& xattr : entry.xattrs) {
    records += pax_record(xattr_key(xattr.name), as_text(xattr.value));
  }
  return records;
}

/// GNU's sparse format 1.0: decimal numbers, one a line, filled up to a record.
std::string sparse_map(std::span<const DataRange> data, std::uint64_t size) {
  // A range of no length at the end says how far the last hole reaches.
  const bool ends_in_hole = data.empty() || data.back().offset + data.back().length < size;
  std::string map = fmt::format("{}\n", data.size() + (ends_in_hole ? 1 : 0));
  for (const DataRange& range : data) {
    map += fmt::format("{}\n{}\n", range.offset, range.length);
  }
  if (ends_in_hole) {
    map += fmt::format("{}\n0\n", size);
  }
  map.resize((map.size() + kRecord - 1) / kRecord * kRecord, '\0');
  return map;
}

}  // namespace

Result<> TarWriter::add(const TarEntry& entry) {
  return begin(entry, {}, entry.type == EntryType::File ? entry.size : 0);
}

Result<> TarWriter::add_sparse(const TarEntry& entry, std::span<const DataRange> data) {
  const std::string map = sparse_map(data, entry.size);
  std::uint64_t stored = map.size();
  for (const DataRange& range : data) {
    stored += range.length;
  }
  const std::string path = stored_path(entry);
  std::string records = pax_record("GNU.sparse.major", "1") + pax_record("GNU.sparse.minor", "0") +
                        pax_record("GNU.sparse.name", path) +
                        pax_record("GNU.sparse.realsize", fmt::format("{}", entry.size));
  BH_TRY(begin(entry, std::move(records), stored));
  return write(as_bytes(map));
}

Result<> TarWriter::begin(const TarEntry& entry, std::string extra_records,
                          std::uint64_t stored_size) {
  if (content_left_ > 0) {
    return fail(ErrorCode::FailedPrecondition, "tar: {} bytes of the content before {} are missing",
                content_left_, quote(entry.path));
  }
  BH_TRY(pad());
  if (entry.type == EntryType::Socket) {
    return fail(ErrorCode::Unsupported, "tar: {}: a socket", quote(entry.path));
  }
  const std::string path = stored_path(entry);
  const std::string records = std::move(extra_records) + pax_records(entry, path, stored_size);
  if (!records.empty()) {
    UstarHeader pax{};
    put_text(pax.name, "PaxHeaders/pax");
    put_octal(pax.mode, 0644);
    put_octal(pax.uid, 0);
    put_octal(pax.gid, 0);
    put_octal(pax.size, records.size());
    put_octal(pax.mtime, 0);
    pax.type = 'x';
    seal(pax);
    BH_TRY(put(object_bytes(std::as_const(pax))));
    BH_TRY(put(as_bytes(records)));
    BH_TRY(pad());
  }
  UstarHeader header{};
  put_text(header.name, path);
  put_octal(header.mode, entry.permissions);
  put_octal(header.uid, entry.uid > kMaxId ? 0 : entry.uid);
  put_octal(header.gid, entry.gid > kMaxId ? 0 : entry.gid);
  put_octal(header.size, stored_size > kMaxSize ? 0 : stored_size);
  put_octal(header.mtime, static_cast<std::uint64_t>(
                              std::clamp<std::int64_t>(entry.modified.seconds, 0, kMaxTime)));
  header.type = type_flag(entry.type);
  put_text(header.link, entry.link);
  put_octal(header.device_major, entry.device_major);
  put_octal(header.device_minor, entry.device_minor);
  seal(header);
  content_left_ = stored_size;
  return put(object_bytes(std::as_const(header)));
}

Result<> TarWriter::write(Bytes content) {
  if (content.size() > content_left_) {
    return fail(ErrorCode::FailedPrecondition, "tar: {} bytes more than the member has",
                content.size() - content_left_);
  }
  content_left_ -= content.size();
  return put(content);
}

Result<> TarWriter::finish() {
  if (content_left_ > 0) {
    return fail(ErrorCode::FailedPrecondition, "tar: {} bytes of content are missing",
                content_left_);
  }
  BH_TRY(pad());
  constexpr std::array<std::byte, 2 * kRecord> kEnd{};
  BH_TRY(put(kEnd));
  return flush();
}

Result<> TarWriter::put(Bytes bytes) {
  written_ += bytes.size();
  if (pending_.size() + bytes.size() > kBuffer) {
    BH_TRY(flush());
  }
  if (bytes.size() >= kBuffer) {
    return to_.write(bytes);
  }
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  return {};
}

Result<> TarWriter::pad() {
  constexpr std::array<std::byte, kRecord> kZeros{};
  return put(Bytes(kZeros).first((kRecord - written_ % kRecord) % kRecord));
}

Result<> TarWriter::flush() {
  if (pending_.empty()) {
    return {};
  }
  BH_TRY(to_.write(pending_));
  pending_.clear();
  return {};
}

}  // namespace bulkhead::archive
