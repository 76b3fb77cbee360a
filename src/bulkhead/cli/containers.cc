#include "bulkhead/cli/containers.h"

#include <cstdio>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::cli {

void release_address(const config::Paths& paths, const std::string& id) {
  auto networks = network::Networks::open(paths.run);
  const auto result = networks ? networks->detach(id) : Result<>(networks.error());
  if (!result) {
    log::warning("address of {}: {}", id, result.error().message());
  }
}

Result<runtime::ContainerStore> open_containers(const config::Paths& paths) {
  auto store = BH_TRY(runtime::ContainerStore::open(paths));
  BH_TRY(store.reap_dead([&](const std::string& id) { release_address(paths, id); }));
  return store;
}

Result<int> for_each_container(
    runtime::ContainerStore& store, const std::vector<std::string>& names, NameOutput output,
    const std::function<Result<>(const runtime::StoredContainer& container)>& action) {
  int status = 0;
  for (const std::string& name : names) {
    auto container = store.find(name);
    const auto result = container ? action(*container) : Result<>(container.error());
    if (!result) {
      print_error(result.error());
      status = 1;
    } else if (output == NameOutput::Print) {
      fmt::print("{}\n", name);
    }
  }
  return status;
}

void print_error(const Error& error) {
  // A message is one line, whatever a stranger put into it.
  std::string line;
  for (const char c : error.message()) {
    line.push_back(c == '\n' || c == '\r' ? ' ' : c);
  }
  std::ignore = std::fflush(stdout);
  fmt::print(stderr, "bulkhead: {}\n", line);
}

}  // namespace bulkhead::cli
