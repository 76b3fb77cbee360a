#include "bulkhead/guest/root_path.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's

std::string join(const std::string& base, std::string_view name) {
  return base.empty() ? std::string(name) : base + "/" + std::string(name);
}

/// Puts the components of `path` in front of those that are still to be walked (last one first).
void push_components(std::vector<std::string>& pending, std::string_view path) {
  const std::vector<std::string_view> components = split(path, '/');
  for (const std::string_view component : components | std::views::reverse) {
    if (!component.empty() && component != ".") {
      pending.emplace_back(component);
    }
  }
}

Result<os::UniqueFd> open_path(int root, const std::string& path, int flags) {
  return os::open_beneath(root, path.empty() ? "." : path, O_PATH | flags);
}

/// The target when `path` is a symbolic link, "" when it is something else or absent. Errors: its
/// parent is no directory, and the like.
Result<std::string> link_target(int root, const std::string& parent, const std::string& name) {
  auto directory = open_path(root, parent, O_DIRECTORY);
  if (!directory) {
    if (directory.error().os_error() == ENOENT) {
      return std::string();
    }
    return std::move(directory).error();
  }
  auto target = os::read_link_at(directory->get(), name);
  if (target || (target.error().os_error() != EINVAL && target.error().os_error() != ENOENT)) {
    return target;
  }
  return std::string();
}

Result<> make_directory(int root, const std::string& parent, const std::string& name) {
  const os::UniqueFd directory = BH_TRY(open_path(root, parent, O_DIRECTORY));
  const auto made = os::make_directory_at(directory.get(), name, 0755);
  return made || made.error().os_error() == EEXIST ? Result<>() : made;
}

/// Makes every directory of a resolved path.
Result<> make_parents(int root, const std::string& path) {
  std::string made;
  for (const std::string_view component : split(path, '/')) {
    BH_TRY(make_directory(root, made, std::string(component)));
    made = join(made, component);
  }
  return {};
}

Result<os::UniqueFd> make_target(int root, const std::string& path, TargetKind kind) {
  const std::string resolved = BH_TRY(resolve_in_root(root, path));
  const std::size_t slash = resolved.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : resolved.substr(0, slash);
  if (kind == TargetKind::Directory) {
    if (!resolved.empty()) {
      BH_TRY(make_parents(root, resolved));
    }
    return open_path(root, resolved, 0);
  }
  if (!parent.empty()) {
    BH_TRY(make_parents(root, parent));
  }
  const auto made = os::open_beneath(root, resolved, O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY, 0644);
  if (!made && made.error().os_error() != EEXIST) {
    return made.error();
  }
  return open_path(root, resolved, 0);
}

}  // namespace

Result<std::string> resolve_in_root(int root, std::string_view path) {
  if (path.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::Invalid, "path {}: contains a NUL character", quote(path));
  }
  if (path.size() >= PATH_MAX) {
    return Error::from_errno(ENAMETOOLONG, "path " + quote(path));
  }
  std::vector<std::string> pending;
  push_components(pending, path);
  std::string resolved;
  int links = 0;
  while (!pending.empty()) {
    const std::string name = std::move(pending.back());
    pending.pop_back();
    if (name == "..") {
      const std::size_t slash = resolved.rfind('/');
      resolved.resize(slash == std::string::npos ? 0 : slash);
      continue;
    }
    const std::string target = BH_TRY(link_target(root, resolved, name).about(path));
    if (target.empty()) {
      resolved = join(resolved, name);
      continue;
    }
    if (++links > kMaxLinks) {
      return Error::from_errno(ELOOP, "path " + quote(path));
    }
    if (target.front() == '/') {
      resolved.clear();
    }
    push_components(pending, target);
  }
  return resolved;
}

Result<os::UniqueFd> open_or_make_in_root(int root, const std::string& path, TargetKind kind) {
  auto opened = os::open_in_root(root, path, O_PATH);
  if (!opened) {
    if (opened.error().os_error() != ENOENT) {
      return std::move(opened).error();
    }
    opened = make_target(root, path, kind);
    if (!opened) {
      return std::move(opened).error();
    }
  }
  const bool is_directory = BH_TRY(os::file_info(opened->get())).is_directory();
  if (is_directory != (kind == TargetKind::Directory)) {
    return fail(ErrorCode::FailedPrecondition, "{}: is {}a directory in the image", quote(path),
                is_directory ? "" : "not ");
  }
  return opened;
}

}  // namespace bulkhead::guest
