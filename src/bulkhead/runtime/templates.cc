#include "bulkhead/runtime/templates.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/crc32c.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {
namespace {

constexpr int kVersion = 1;
constexpr mode_t kPrivateDirectory = 0700;
constexpr mode_t kPrivateFile = 0600;
constexpr std::string_view kUnfinished = ".new";
constexpr std::size_t kLongestRecord = 64U << 10U;
constexpr std::uint64_t kLargestDeviceState = 64U << 20U;

/// Of one file, as it was when the template was made.
struct FileRecord {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_nanoseconds = 0;
  std::uint32_t checksum = 0;  ///< CRC-32C of each page that is not zero and of its offset

  bool operator==(const FileRecord&) const = default;
};

/// Pages of zeros count as holes: what is one may change when a file is written back.
Result<std::uint32_t> checksum(int fd) {
  constexpr std::size_t kPage = 4096;
  static constexpr std::array<std::byte, kPage> kZeros{};
  std::vector<std::byte> buffer(256 * kPage);
  std::uint32_t sum = ext4::kChecksumStart;
  std::uint64_t offset = 0;
  while (const auto range = BH_TRY(os::next_data(fd, offset))) {
    const std::uint64_t end = range->offset + range->length;
    for (offset = range->offset / kPage * kPage; offset < end;) {
      const std::size_t size = BH_TRY(os::pread_some(fd, buffer, offset));
      for (std::size_t at = 0; at < size; at += kPage) {
        const Bytes page = std::span(buffer).subspan(at, std::min(kPage, size - at));
        if (!std::ranges::equal(page, std::span(kZeros).first(page.size()))) {
          const le64 place(offset + at);
          sum = ext4::crc32c(ext4::crc32c(sum, object_bytes(place)), page);
        }
      }
      if (size == 0) {
        return fail(ErrorCode::Corrupt, "the file became shorter");
      }
      offset += size;
    }
  }
  return sum;
}

FileRecord record_of(const os::FileInfo& info, std::uint32_t checksum) {
  return {.inode = info.inode,
          .size = info.size,
          .modified_nanoseconds = info.modified_nanoseconds(),
          .checksum = checksum};
}

struct Record {
  TemplateShape shape;
  WallTime created;
  FileRecord memory;
  FileRecord devices;
};

json::Value to_json(const FileRecord& file) {
  json::Value value;
  value.set("inode", file.inode);
  value.set("size", file.size);
  value.set("modified_nanoseconds", file.modified_nanoseconds);
  value.set("checksum", file.checksum);
  return value;
}

Result<FileRecord> parse_file(const json::Fields& record, std::string_view name) {
  const auto member = BH_TRY(record.object(name));
  if (!member) {
    return fail(ErrorCode::Corrupt, "{} is missing", record.member_path(name));
  }
  const json::Fields& fields = *member;
  FileRecord file;
  BH_TRY(fields.require("inode", file.inode));
  BH_TRY(fields.require("size", file.size));
  BH_TRY(fields.require("modified_nanoseconds", file.modified_nanoseconds));
  BH_TRY(fields.require("checksum", file.checksum));
  return file;
}

std::string to_text(const Record& record) {
  json::Value value;
  value.set("version", kVersion);
  value.set("created", format_rfc3339(record.created));
  value.set("vcpus", record.shape.vcpus);
  value.set("memory_bytes", record.shape.memory_bytes);
  value.set("network", record.shape.has_network);
  value.set("shape", record.shape.text);
  value.set("memory", to_json(record.memory));
  value.set("devices", to_json(record.devices));
  return json::write(value, json::Style::Pretty);
}

Result<Record> parse_record(std::string_view text) {
  const json::Value value = BH_TRY(json::parse(text, "template.json"));
  const json::Fields fields = BH_TRY(json::Fields::create(value, "template.json"));
  int version = 0;
  BH_TRY(fields.require("version", version));
  if (version != kVersion) {
    return fail(ErrorCode::Corrupt, "template.json: version {} is not known", version);
  }
  Record record;
  std::string created;
  BH_TRY(fields.require("created", created));
  record.created = BH_TRY(parse_rfc3339(created));
  BH_TRY(fields.require("vcpus", record.shape.vcpus));
  BH_TRY(fields.require("memory_bytes", record.shape.memory_bytes));
  BH_TRY(fields.require("network", record.shape.has_network));
  BH_TRY(fields.require("shape", record.shape.text));
  record.memory = BH_TRY(parse_file(fields, "memory"));
  record.devices = BH_TRY(parse_file(fields, "devices"));
  return record;
}

Result<Record> read_record(const std::string& directory) {
  return parse_record(BH_TRY(os::read_file(directory + "/template.json", kLongestRecord)));
}

/// Opens a file of a template and checks that it is the one of the record.
Result<os::UniqueFd> open_recorded(const std::string& path, const FileRecord& record) {
  os::UniqueFd file = BH_TRY(os::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const os::FileInfo info = BH_TRY(os::file_info(file.get()));
  if (!info.is_regular()) {
    return fail(ErrorCode::Corrupt, "{}: not a regular file", path);
  }
  if (info.uid != ::geteuid() || (info.mode & 0777U) != kPrivateFile) {
    return fail(ErrorCode::Corrupt, "{}: owner {} and mode {:o}, not {} and {:o}", path, info.uid,
                info.mode & 0777U, ::geteuid(), kPrivateFile);
  }
  if (record_of(info, record.checksum) != record) {
    return fail(ErrorCode::Corrupt, "{}: changed since it was made", path);
  }
  return file;
}

Result<> check_content(int fd, const FileRecord& record, std::string_view what) {
  if (BH_TRY(checksum(fd)) != record.checksum) {
    return fail(ErrorCode::Corrupt, "{}: its checksum is wrong", what);
  }
  return {};
}

/// What the mark of a template whose memory was found whole says.
std::string mark_of(const FileRecord& memory) {
  return fmt::format("{} {} {}\n", memory.inode, memory.size, memory.modified_nanoseconds);
}

/// The checksum of memory, once per boot of the host: marks do not last longer. The time of the
/// mark is that of the last use.
Result<> check_memory(int fd, const FileRecord& record, const std::string& mark) {
  const auto seen = os::read_file(mark, kLongestRecord);
  if (seen && *seen == mark_of(record)) {
    std::ignore = ::utimensat(AT_FDCWD, mark.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
    return {};
  }
  BH_TRY(check_content(fd, record, "memory"));
  return os::write_file_atomically(mark, mark_of(record), kPrivateFile);
}

bool is_key(std::string_view name) {
  return name.size() == 16 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<vmm::SavedState> open_template(const std::string& directory, const TemplateShape& shape,
                                      const std::string& mark) {
  const Record record = BH_TRY(read_record(directory));
  if (record.shape.text != shape.text) {
    return fail(ErrorCode::Corrupt, "it is of another shape");
  }
  if (record.devices.size > kLargestDeviceState || record.memory.size != shape.memory_bytes) {
    return fail(ErrorCode::Corrupt, "its files have impossible sizes");
  }
  os::UniqueFd memory = BH_TRY(open_recorded(directory + "/memory", record.memory));
  os::UniqueFd devices = BH_TRY(open_recorded(directory + "/devices", record.devices));
  BH_TRY(check_content(devices.get(), record.devices, "devices"));
  BH_TRY(check_memory(memory.get(), record.memory, mark));
  return vmm::SavedState{.memory = std::move(memory), .devices = std::move(devices)};
}

Result<FileRecord> record_file(const std::string& path) {
  const os::UniqueFd file = BH_TRY(os::open_file(path, O_RDONLY | O_NOFOLLOW));
  const os::FileInfo info = BH_TRY(os::file_info(file.get()));
  return record_of(info, BH_TRY(checksum(file.get())));
}

}  // namespace

std::string TemplateShape::key() const {
  // FNV-1a, 64 bits. Which shape a template really is of says its record.
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return fmt::format("{:016x}", hash);
}

// --- a draft ---

TemplateDraft::TemplateDraft(TemplateDraft&& other) noexcept
    : key_(std::move(other.key_)),
      shape_(std::move(other.shape_)),
      directory_(std::exchange(other.directory_, {})),
      lock_(std::move(other.lock_)) {}

TemplateDraft::~TemplateDraft() {
  if (!directory_.empty()) {
    if (const auto removed = os::remove_tree(directory_); !removed) {
      log::warning("template {}: {}", key_, removed.error().message());
    }
  }
}

Result<vmm::SavedState> TemplateDraft::files() const {
  constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW;
  vmm::SavedState files;
  files.memory = BH_TRY(os::open_file(directory_ + "/memory", kFlags, kPrivateFile));
  files.devices = BH_TRY(os::open_file(directory_ + "/devices", kFlags, kPrivateFile));
  BH_TRY(os::set_file_size(files.memory.get(), shape_.memory_bytes));
  return files;
}

Result<> TemplateDraft::commit() {
  Record record{.shape = shape_, .created = wall_now()};
  record.memory = BH_TRY(record_file(directory_ + "/memory"));
  record.devices = BH_TRY(record_file(directory_ + "/devices"));
  // Nothing is synced: what a power cut tears the checksums will tell.
  BH_TRY(os::write_file_atomically(directory_ + "/template.json", to_text(record), kPrivateFile));
  const std::string finished = directory_.substr(0, directory_.size() - kUnfinished.size());
  BH_TRY(os::remove_tree(finished));
  BH_TRY(os::rename_path(directory_, finished));
  directory_.clear();
  return {};
}

// --- all of them ---

std::optional<vmm::SavedState> Templates::find(const TemplateShape& shape) const {
  const std::string key = shape.key();
  auto found = open_template(directory_ + "/" + key, shape, marks_ + "/" + key);
  if (found) {
    return *std::move(found);
  }
  if (found.error().code() != ErrorCode::NotFound) {
    log::warning("template {} is dropped: {}", key, found.error().message());
    drop(shape);
  }
  return std::nullopt;
}

Result<std::optional<TemplateDraft>> Templates::begin(const TemplateShape& shape) const {
  const std::string key = shape.key();
  BH_TRY(os::make_directories(directory_, kPrivateDirectory));
  BH_TRY(os::make_directories(marks_, kPrivateDirectory));
  auto lock = BH_TRY(os::FileLock::try_acquire(marks_ + "/" + key + ".lock"));
  if (!lock || find(shape)) {
    return std::nullopt;
  }
  std::string draft = directory_ + "/" + key + std::string(kUnfinished);
  BH_TRY(os::remove_tree(draft));
  BH_TRY(os::make_directories(draft, kPrivateDirectory));
  return TemplateDraft(key, shape, std::move(draft), *std::move(lock));
}

Result<std::vector<TemplateRecord>> Templates::list() const {
  const auto names = os::list_directory(directory_);
  if (!names) {
    return names.error().code() == ErrorCode::NotFound ? Result<std::vector<TemplateRecord>>({})
                                                       : names.error();
  }
  std::vector<TemplateRecord> records;
  for (const std::string& name : *names) {
    const std::string directory = directory_ + "/" + name;
    auto record = is_key(name) ? read_record(directory) : fail(ErrorCode::NotFound, "no template");
    if (!record) {
      continue;
    }
    TemplateRecord one{.key = name,
                       .shape = std::move(record->shape),
                       .created = record->created,
                       .last_used = record->created};
    for (const std::string_view file : {"/memory", "/devices"}) {
      if (const auto fd = os::open_file(directory + std::string(file), O_RDONLY | O_NOFOLLOW)) {
        one.bytes += BH_TRY(os::file_space(fd->get())).allocated_bytes;
      }
    }
    if (const auto mark = os::file_info(marks_ + "/" + name)) {
      one.last_used =
          std::max(one.last_used, WallTime(std::chrono::nanoseconds(mark->modified_nanoseconds())));
    }
    records.push_back(std::move(one));
  }
  std::ranges::sort(records, std::ranges::greater(), &TemplateRecord::last_used);
  return records;
}

Result<> Templates::remove(const std::string& key) const {
  const std::string directory = directory_ + "/" + key;
  if (!is_key(key) || !os::path_exists(directory)) {
    return fail(ErrorCode::NotFound, "template {}: there is none", key);
  }
  std::ignore = os::remove_file(marks_ + "/" + key);
  return os::remove_tree(directory);
}

void Templates::drop(const TemplateShape& shape) const {
  const std::string key = shape.key();
  if (const auto removed = remove(key); !removed && removed.error().code() != ErrorCode::NotFound) {
    log::warning("{}", removed.error().message());
  }
}

Result<> Templates::trim(std::uint64_t budget) const {
  std::uint64_t sum = 0;
  for (const TemplateRecord& record : BH_TRY(list())) {
    sum += record.bytes;
    if (sum > budget) {
      BH_TRY(remove(record.key));
    }
  }
  for (const std::string& name : BH_TRY(os::list_directory(directory_))) {
    if (!is_key(name)) {
      const std::string key = name.substr(0, name.find('.'));
      const auto lock = os::FileLock::try_acquire(marks_ + "/" + key + ".lock");
      if (lock && *lock) {
        BH_TRY(os::remove_tree(directory_ + "/" + name));
      }
    }
  }
  return {};
}

}  // namespace bulkhead::runtime
