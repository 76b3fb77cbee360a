#include "bulkhead/guest/accounts.h"

#include <fcntl.h>
#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

constexpr const char* kPasswd = "/etc/passwd";
constexpr const char* kGroup = "/etc/group";

/// More than the kernel takes for one process.
constexpr std::size_t kMaxGroups = 65536;

/// Errors: Invalid for anything that is not a file.
Result<os::UniqueFd> open_account_file(int root, const char* path, int flags) {
  os::UniqueFd file = BH_TRY(os::open_in_root(root, path, flags));
  if (!BH_TRY(os::file_info(file.get())).is_regular()) {
    return fail(ErrorCode::Invalid, "{}: not a regular file", path);
  }
  return file;
}

/// "" when there is none. What is not a file is not opened: a device's driver may act on that. Nor
/// is a writer waited for, should the container put a FIFO there meanwhile.
Result<std::string> read_account_file(int root, const char* path) {
  if (const auto found = open_account_file(root, path, O_PATH); !found) {
    if (found.error().code() == ErrorCode::NotFound) {
      return std::string();
    }
    return found.error();
  }
  const os::UniqueFd file = BH_TRY(open_account_file(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  return os::read_to_end(file.get(), kMaxAccountFile).context(path);
}

/// Calls `visit` with the fields of every line until it returns true.
template <class Visit>
void for_each_entry(std::string_view content, std::size_t least_fields, Visit visit) {
  while (!content.empty()) {
    const std::size_t end = std::min(content.find('\n'), content.size());
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.empty() || line.front() == '#') {
      continue;
    }
    const std::vector<std::string_view> fields = split(line, ':');
    if (fields.size() >= least_fields && visit(fields)) {
      return;
    }
  }
}

std::optional<std::uint32_t> parse_id(std::string_view text) {
  const auto id = parse_decimal<std::uint32_t>(text);
  return id && *id <= kMaxNamedId ? id : std::nullopt;
}

/// Whether it was meant as a number: it must then be one that is allowed.
bool looks_numeric(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) {
    text.remove_prefix(1);
  }
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

struct UserEntry {
  std::string name;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::string home;
};

/// name:password:uid:gid:gecos:home:shell, of which the last three may be missing.
Result<std::optional<UserEntry>> find_user(std::string_view passwd, std::string_view name) {
  const auto number = parse_id(name);
  std::optional<UserEntry> found;
  bool malformed = false;
  for_each_entry(passwd, 4, [&](const std::vector<std::string_view>& fields) {
    const auto user = parse_id(fields[2]);
    const bool named = !name.empty() && fields[0] == name;
    if (!named && !(number && user == number)) {
      return false;
    }
    const auto group = parse_id(fields[3]);
    if (!user || !group) {
      malformed = true;
      return true;
    }
    found = UserEntry{.name = std::string(fields[0]),
                      .user = *user,
                      .group = *group,
                      .home = std::string(fields.size() > 5 ? fields[5] : std::string_view())};
    return true;
  });
  if (malformed) {
    return fail(ErrorCode::Invalid, "user {}: the ids of its entry in {} are not valid",
                quote(name), kPasswd);
  }
  return found;
}

/// name:password:gid:member,member
Result<gid_t> find_group(std::string_view content, std::string_view name) {
  const auto number = parse_id(name);
  std::optional<gid_t> found;
  bool malformed = false;
  for_each_entry(content, 3, [&](const std::vector<std::string_view>& fields) {
    const auto group = parse_id(fields[2]);
    if (fields[0] != name && !(number && group == number)) {
      return false;
    }
    malformed = !group;
    found = group;
    return true;
  });
  if (malformed) {
    return fail(ErrorCode::Invalid, "group {}: the id of its entry in {} is not valid", quote(name),
                kGroup);
  }
  if (found) {
    return *found;
  }
  if (number) {
    return *number;
  }
  if (looks_numeric(name)) {
    return fail(ErrorCode::Invalid, "group {}: ids are 0 to {}", quote(name), kMaxNamedId);
  }
  return fail(ErrorCode::NotFound, "group {}: no such entry in {}", quote(name), kGroup);
}

std::vector<gid_t> groups_with_member(std::string_view content, std::string_view name) {
  std::vector<gid_t> groups;
  for_each_entry(content, 4, [&](const std::vector<std::string_view>& fields) {
    const auto group = parse_id(fields[2]);
    const auto members = split(fields[3], ',');
    if (group && std::ranges::find(members, name) != members.end()) {
      groups.push_back(*group);
    }
    return groups.size() >= kMaxGroups;
  });
  return groups;
}

void add_group(std::vector<gid_t>& groups, gid_t group) {
  if (std::ranges::find(groups, group) == groups.end()) {
    groups.push_back(group);
  }
}

}  // namespace

Result<Identity> resolve_identity(int root, std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view user_text = text.substr(0, colon);
  const std::string_view group_text =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const std::string_view wanted = user_text.empty() ? std::string_view("0") : user_text;

  const auto number = parse_id(wanted);
  auto passwd = read_account_file(root, kPasswd);
  if (!passwd && !number) {
    return std::move(passwd).error().context("user " + quote(wanted));
  }
  const auto entry = BH_TRY(find_user(passwd ? *passwd : std::string(), wanted));
  if (!entry && !number) {
    if (looks_numeric(wanted)) {
      return fail(ErrorCode::Invalid, "user {}: ids are 0 to {}", quote(wanted), kMaxNamedId);
    }
    return fail(ErrorCode::NotFound, "user {}: no such entry in {}", quote(wanted), kPasswd);
  }

  Identity identity;
  identity.user = entry ? entry->user : *number;
  identity.group = entry ? entry->group : 0;
  identity.home = entry && !entry->home.empty() ? entry->home : "/";
  auto group_file = read_account_file(root, kGroup);
  if (!group_text.empty()) {
    const bool numeric = parse_id(group_text).has_value();
    if (!group_file && !numeric) {
      return std::move(group_file).error().context("group " + quote(group_text));
    }
    identity.group = BH_TRY(find_group(group_file ? *group_file : std::string(), group_text));
    identity.groups = {identity.group};
    return identity;
  }
  identity.groups = {identity.group};
  if (entry && group_file) {
    for (const gid_t group : groups_with_member(*group_file, entry->name)) {
      add_group(identity.groups, group);
    }
  }
  return identity;
}

Result<Identity> numeric_identity(int root, std::uint32_t user, std::uint32_t group,
                                  const std::vector<std::uint32_t>& additional_groups) {
  constexpr std::uint32_t kNoChange = 0xffffffff;
  if (user == kNoChange || group == kNoChange ||
      std::ranges::find(additional_groups, kNoChange) != additional_groups.end()) {
    return fail(ErrorCode::Invalid, "user {}:{}: not an id", user, group);
  }
  if (additional_groups.size() > kMaxGroups) {
    return fail(ErrorCode::Invalid, "user {}: {} groups", user, additional_groups.size());
  }
  Identity identity{.user = user, .group = group, .groups = {}, .home = "/"};
  identity.groups.assign(additional_groups.begin(), additional_groups.end());
  const auto passwd = read_account_file(root, kPasswd);
  if (passwd) {
    const auto entry = find_user(*passwd, std::to_string(user));
    if (entry && *entry && (*entry)->user == user && !(*entry)->home.empty()) {
      identity.home = (*entry)->home;
    }
  }
  return identity;
}

}  // namespace bulkhead::guest
