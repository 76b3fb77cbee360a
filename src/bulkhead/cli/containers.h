#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::cli {

/// How much of an id people are shown.
inline constexpr std::size_t kShortId = 12;

/// Gives back the network address of a container whose shim does not live any more.
void release_address(const config::Paths& paths, const std::string& id);

/// The containers as they are now: what killed shims left is cleaned up first.
Result<runtime::ContainerStore> open_containers(const config::Paths& paths);

/// Does something to each container that was named, and goes on when one fails: each failure is a
/// line on stderr. Prints each name when `print_names`. Returns the program's exit status.
enum class NameOutput : std::uint8_t { Print, Silent };

Result<int> for_each_container(
    runtime::ContainerStore& store, const std::vector<std::string>& names, NameOutput output,
    const std::function<Result<>(const runtime::StoredContainer& container)>& action);

/// The one line in which every failure is told.
void print_error(const Error& error);

}  // namespace bulkhead::cli
