#include "bulkhead/os/tree_entry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::os {
namespace {

// The kernel's limits for a list and for a value.
constexpr std::size_t kXattrBytes = 65536;

/// Leads to what a descriptor stands for, even a symbolic link, which is not followed.
std::string magic_link(int entry) { return fmt::format("/proc/self/fd/{}", entry); }

/// The value, or nothing when the attribute is gone meanwhile.
Result<std::optional<std::vector<std::byte>>> value_of(const std::string& path,
                                                       const std::string& name) {
  std::vector<std::byte> value(256);
  while (true) {
    const ssize_t size = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (size >= 0) {
      value.resize(static_cast<std::size_t>(size));
      return value;
    }
    if (errno == ENODATA) {
      return std::nullopt;
    }
    if (errno != ERANGE || value.size() == kXattrBytes) {
      return Error::from_errno("getxattr " + name);
    }
    value.resize(kXattrBytes);
  }
}

}  // namespace

Result<UniqueFd> open_entry(int directory, const std::string& name) {
  return open_at(directory, name, O_PATH | O_NOFOLLOW);
}

Result<UniqueFd> read_entry(int entry) { return open_file(magic_link(entry), O_RDONLY); }

Result<std::string> link_target(int entry) {
  return read_link_at(entry, "");  // An empty name is the entry itself.
}

Result<std::vector<ExtendedAttribute>> extended_attributes(int entry) {
  const std::string path = magic_link(entry);
  std::vector<ExtendedAttribute> attributes;
  std::string list(1024, '\0');
  ssize_t size = ::listxattr(path.c_str(), list.data(), list.size());
  if (size < 0 && errno == ERANGE) {
    list.resize(kXattrBytes);
    size = ::listxattr(path.c_str(), list.data(), list.size());
  }
  if (size < 0) {
    if (errno == ENOTSUP) {
      return attributes;
    }
    return Error::from_errno("listxattr");
  }
  std::string_view rest(list.data(), static_cast<std::size_t>(size));
  while (!rest.empty()) {
    std::string name(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (auto value = BH_TRY(value_of(path, name))) {
      attributes.push_back({.name = std::move(name), .value = *std::move(value)});
    }
  }
  std::ranges::sort(attributes, {}, &ExtendedAttribute::name);
  return attributes;
}

}  // namespace bulkhead::os
