#include "bulkhead/archive/tar_reader.h"

#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::archive {
namespace {

struct ArchiveDeleter {
  void operator()(struct archive* handle) const { archive_read_free(handle); }
};

/// libarchive converts pax names from UTF-8 to the locale's character set, and in a UTF-8 locale
/// normalises them to NFC on the way: names would change. In the C locale the conversion of
/// anything beyond ASCII fails, the raw bytes are kept, and the warning that says so is expected.
class CLocale {
 public:
  CLocale() : locale_(::newlocale(LC_CTYPE_MASK, "C", nullptr)) {}

  CLocale(const CLocale&) = delete;
  CLocale& operator=(const CLocale&) = delete;

  ~CLocale() {
    if (locale_ != nullptr) {
      ::freelocale(locale_);
    }
  }

  [[nodiscard]] locale_t get() const { return locale_; }

 private:
  locale_t locale_;
};

/// The locale of this thread, for one call into libarchive.
class LocaleScope {
 public:
  explicit LocaleScope(const CLocale& locale) : before_(::uselocale(locale.get())) {}

  LocaleScope(const LocaleScope&) = delete;
  LocaleScope& operator=(const LocaleScope&) = delete;

  ~LocaleScope() { ::uselocale(before_); }

 private:
  locale_t before_;
};

constexpr std::int64_t kLargestId = 0xfffffffe;  // 2^32-1 means "no id"

std::optional<EntryType> type_of(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) {
    return EntryType::HardLink;
  }
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return EntryType::File;
    case AE_IFDIR:
      return EntryType::Directory;
    case AE_IFLNK:
      return EntryType::Symlink;
    case AE_IFCHR:
      return EntryType::CharacterDevice;
    case AE_IFBLK:
      return EntryType::BlockDevice;
    case AE_IFIFO:
      return EntryType::Fifo;
    case AE_IFSOCK:
      return EntryType::Socket;
    default:
      return std::nullopt;
  }
}

/// Of a pax time of -1.5 libarchive makes -1 s and 500,000,000 ns, which would be half a second
/// before 1970; a time is the seconds before it and what then has passed.
EntryTime time_of(time_t seconds, long nanoseconds) {
  constexpr long kSecond = 1'000'000'000;
  auto fraction = std::clamp(nanoseconds, 0L, kSecond - 1);
  if (seconds < 0 && fraction > 0 && seconds > std::numeric_limits<time_t>::min()) {
    --seconds;
    fraction = kSecond - fraction;
  }
  return {.seconds = seconds, .nanoseconds = static_cast<std::uint32_t>(fraction)};
}

}  // namespace

struct TarReader::State {
  State(Reader& tar_source, const TarLimits& tar_limits) : source(tar_source), limits(tar_limits) {}

  Reader& source;
  TarLimits limits;
  CLocale locale;
  std::unique_ptr<struct archive, ArchiveDeleter> handle;
  std::optional<Error> source_error;
  TarEntry entry;
  std::string path;
  std::string link;
  std::uint64_t entries = 0;
  std::uint64_t data_end = 0;
  bool has_data = false;
  bool at_end = false;

  static la_ssize_t read_callback(struct archive* handle, void* data, const void** piece) {
    auto& self = *static_cast<State*>(data);
    auto next = self.source.next();
    if (!next) {
      self.source_error = std::move(next).error();
      archive_set_error(handle, EIO, "read");
      return ARCHIVE_FATAL;
    }
    *piece = next->data();
    return static_cast<la_ssize_t>(next->size());
  }

  /// What libarchive complains about, or what the source did.
  Error error() {
    if (source_error) {
      return *std::exchange(source_error, std::nullopt);
    }
    const char* text = archive_error_string(handle.get());
    return fail(ErrorCode::Corrupt, "tar: {}",
                quote(text == nullptr ? "unreadable" : std::string_view(text)));
  }

  /// Whether the present warning is the expected one of the C locale.
  [[nodiscard]] bool is_locale_warning() const {
    const char* text = archive_error_string(handle.get());
    return text != nullptr &&
           std::string_view(text).find("can't be converted") != std::string_view::npos;
  }

  Result<> fill_names(archive_entry* from);
  Result<> fill_owner(archive_entry* from);
  Result<> fill_xattrs(archive_entry* from);
  Result<> fill(archive_entry* from);
};

Result<> TarReader::State::fill_names(archive_entry* from) {
  const char* name = archive_entry_pathname(from);
  if (name == nullptr) {
    return fail(ErrorCode::Invalid, "entry without a name");
  }
  BH_TRY(clean_entry_path(name, limits, path));
  entry.path = path;
  const std::optional<EntryType> type = type_of(from);
  if (!type) {
    return fail(ErrorCode::Unsupported, "entry {}: unknown type", quote(path));
  }
  entry.type = *type;
  link.clear();
  if (entry.type == EntryType::HardLink) {
    BH_TRY(clean_entry_path(archive_entry_hardlink(from), limits, link)
               .context("entry " + quote(path) + ": hard link to"));
  } else if (entry.type == EntryType::Symlink) {
    const char* target = archive_entry_symlink(from);
    link = target == nullptr ? "" : target;
    if (link.empty() || link.size() > limits.path_bytes) {
      return fail(ErrorCode::Invalid, "entry {}: a symbolic link to {} bytes", quote(path),
                  link.size());
    }
  }
  entry.link = link;
  return {};
}

Result<> TarReader::State::fill_owner(archive_entry* from) {
  const std::int64_t uid = archive_entry_uid(from);
  const std::int64_t gid = archive_entry_gid(from);
  if (uid < 0 || uid > kLargestId || gid < 0 || gid > kLargestId) {
    return fail(ErrorCode::Invalid, "entry {}: owner {}:{} is out of range", quote(path), uid, gid);
  }
  entry.uid = static_cast<std::uint32_t>(uid);
  entry.gid = static_cast<std::uint32_t>(gid);
  return {};
}

Result<> TarReader::State::fill_xattrs(archive_entry* from) {
  entry.xattrs.clear();
  if (archive_entry_xattr_reset(from) == 0) {
    return {};
  }
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  std::size_t total = 0;
  while (archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK) {
    const EntryXattr xattr{.name = name, .value = {static_cast<const std::byte*>(value), size}};
    total += xattr.name.size() + size;
    if (total > limits.xattr_bytes) {
      return fail(ErrorCode::ResourceExhausted,
                  "entry {}: more than {} bytes of extended attributes", quote(path),
                  limits.xattr_bytes);
    }
    entry.xattrs.push_back(xattr);
  }
  // libarchive lists the last one first; of equal names the last in the archive wins.
  std::ranges::stable_sort(entry.xattrs, {}, &EntryXattr::name);
  const auto rest = std::ranges::unique(entry.xattrs, {}, &EntryXattr::name);
  entry.xattrs.erase(rest.begin(), rest.end());
  return {};
}

Result<> TarReader::State::fill(archive_entry* from) {
  BH_TRY(fill_names(from));
  BH_TRY(fill_owner(from));
  BH_TRY(fill_xattrs(from));
  entry.permissions = static_cast<std::uint16_t>(archive_entry_perm(from) & 07777U);
  entry.modified = time_of(archive_entry_mtime(from), archive_entry_mtime_nsec(from));
  entry.accessed.reset();
  if (archive_entry_atime_is_set(from) != 0) {
    entry.accessed = time_of(archive_entry_atime(from), archive_entry_atime_nsec(from));
  }
  entry.device_major = static_cast<std::uint32_t>(archive_entry_rdevmajor(from));
  entry.device_minor = static_cast<std::uint32_t>(archive_entry_rdevminor(from));
  entry.size = 0;
  data_end = 0;
  has_data = entry.type == EntryType::File;
  if (has_data) {
    const std::int64_t size = archive_entry_size(from);
    if (size < 0) {
      return fail(ErrorCode::Invalid, "entry {}: negative size", quote(path));
    }
    entry.size = static_cast<std::uint64_t>(size);
    if (entry.size > limits.file_bytes) {
      return fail(ErrorCode::ResourceExhausted, "entry {}: a file of {} bytes, more than {}",
                  quote(path), entry.size, limits.file_bytes);
    }
  }
  return {};
}

TarReader::TarReader(std::unique_ptr<State> state) : state_(std::move(state)) {}

TarReader::~TarReader() = default;

Result<std::unique_ptr<TarReader>> TarReader::create(Reader& source, const TarLimits& limits) {
  auto state = std::make_unique<State>(source, limits);
  state->handle.reset(archive_read_new());
  if (state->locale.get() == nullptr || !state->handle) {
    return fail(ErrorCode::Internal, "tar: cannot make a reader");
  }
  struct archive* handle = state->handle.get();
  archive_read_support_format_tar(handle);
  archive_read_support_format_empty(handle);
  const LocaleScope scope(state->locale);
  if (archive_read_open(handle, state.get(), nullptr, State::read_callback, nullptr) !=
      ARCHIVE_OK) {
    return state->error();
  }
  return std::unique_ptr<TarReader>(new TarReader(std::move(state)));
}

Result<const TarEntry*> TarReader::next() {
  State& state = *state_;
  if (state.at_end) {
    return nullptr;
  }
  const LocaleScope scope(state.locale);
  archive_entry* entry = nullptr;
  const int result = archive_read_next_header(state.handle.get(), &entry);
  if (result == ARCHIVE_EOF) {
    state.at_end = true;
    state.has_data = false;
    return nullptr;
  }
  if (result != ARCHIVE_OK && !(result == ARCHIVE_WARN && state.is_locale_warning())) {
    return state.error();
  }
  if (++state.entries > state.limits.entries) {
    return fail(ErrorCode::ResourceExhausted, "tar: more than {} entries", state.limits.entries);
  }
  BH_TRY(state.fill(entry));
  return &state.entry;
}

Result<std::optional<DataPiece>> TarReader::next_data() {
  State& state = *state_;
  if (!state.has_data) {
    return std::nullopt;
  }
  const LocaleScope scope(state.locale);
  while (true) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(state.handle.get(), &data, &size, &offset);
    if (result == ARCHIVE_EOF) {
      state.has_data = false;
      return std::nullopt;
    }
    if (result != ARCHIVE_OK) {
      return std::move(state.error()).context("entry " + quote(state.path));
    }
    if (size == 0) {
      continue;
    }
    const auto start = static_cast<std::uint64_t>(offset);
    if (offset < 0 || start < state.data_end || start > state.entry.size ||
        size > state.entry.size - start) {
      return fail(ErrorCode::Corrupt, "entry {}: {} bytes at {} do not fit in a file of {} bytes",
                  quote(state.path), size, offset, state.entry.size);
    }
    state.data_end = start + size;
    return DataPiece{start, {static_cast<const std::byte*>(data), size}};
  }
}

Result<> TarReader::drain() {
  std::ignore = BH_TRY(archive::drain(state_->source));
  return {};
}

}  // namespace bulkhead::archive
