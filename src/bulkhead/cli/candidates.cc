#include "bulkhead/cli/candidates.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/text.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/signal_name.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/standby_pool.h"
#include "bulkhead/runtime/templates.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/image_record.h"

namespace bulkhead::cli {
namespace {

using program::Candidate;
using runtime::ContainerStatus;

/// Whether a command has any use for a container that is so.
bool suits(std::string_view command, ContainerStatus status) {
  constexpr std::array<std::string_view, 5> kOnlyRunning = {"exec", "kill", "stats", "stop",
                                                            "wait"};
  if (std::ranges::find(kOnlyRunning, command) != kOnlyRunning.end()) {
    return status == ContainerStatus::Running;
  }
  return command != "start" || status != ContainerStatus::Running;
}

/// By name, and by id for who has begun one.
std::vector<Candidate> containers(const config::Paths& paths, const program::Wanted& wanted) {
  std::vector<Candidate> found;
  const auto list = runtime::ContainerStore::existing(paths).list();
  if (!list) {
    return found;
  }
  for (const runtime::StoredContainer& container : *list) {
    if (!suits(wanted.command, container.state.status)) {
      continue;
    }
    const std::string description = fmt::format("{}, {}", oci::familiar(container.record.image),
                                                to_string(container.state.status));
    found.push_back({.word = container.record.name, .description = description});
    if (!wanted.beginning.empty() && container.record.id.starts_with(wanted.beginning)) {
      const std::size_t length = std::max(kShortId, wanted.beginning.size());
      found.push_back({.word = container.record.id.substr(0, length), .description = description});
    }
  }
  return found;
}

std::vector<Candidate> images(const config::Paths& paths) {
  std::vector<Candidate> found;
  auto catalog = store::Catalog::open_existing(paths.images_database());
  const auto list = catalog ? catalog->list() : catalog.error();
  if (list) {
    for (const store::ImageRecord& image : *list) {
      if (!image.chain) {
        continue;  // an artifact, which does not run
      }
      found.push_back(
          {.word = oci::familiar(image.reference), .description = format_size(image.size_bytes)});
    }
  }
  return found;
}

/// Those there are; for a container also what is made when it is needed, and none.
std::vector<Candidate> networks(const config::Paths& paths, const program::Wanted& wanted) {
  std::vector<Candidate> found;
  auto opened = network::Networks::open_existing(paths.run);
  const auto list = opened ? opened->list() : opened.error();
  if (list) {
    for (const network::NetworkInfo& network : *list) {
      found.push_back({.word = network.name, .description = network.subnet});
    }
  }
  if (!wanted.command.starts_with("network ")) {
    if (std::ranges::find(found, network::kDefaultNetwork, &Candidate::word) == found.end()) {
      found.push_back(
          {.word = std::string(network::kDefaultNetwork), .description = "the default bridge"});
    }
    found.push_back({.word = std::string(network::kNoNetwork), .description = "loopback alone"});
  }
  return found;
}

std::vector<Candidate> templates(const config::Paths& paths) {
  std::vector<Candidate> found;
  if (const auto list = runtime::Templates(paths).list()) {
    for (const runtime::TemplateRecord& one : *list) {
      found.push_back({.word = one.key,
                       .description = fmt::format("{} CPUs, {}{}", one.shape.vcpus,
                                                  format_size(one.shape.memory_bytes),
                                                  one.shape.has_network ? "" : ", no network")});
    }
  }
  return found;
}

std::vector<Candidate> machines(const config::Paths& paths) {
  std::vector<Candidate> found;
  if (const auto list = runtime::StandbyPool(paths).list()) {
    for (const runtime::StandbyRecord& one : *list) {
      found.push_back({.word = one.id.substr(0, kShortId),
                       .description = fmt::format("{} CPUs, {}", one.options.vcpus,
                                                  format_size(one.options.memory_bytes))});
    }
  }
  return found;
}

std::vector<Candidate> signals() {
  std::vector<Candidate> found;
  for (std::string& name : signal_names()) {
    found.push_back({.word = std::move(name), .description = {}});
  }
  return found;
}

}  // namespace

std::vector<Candidate> candidates(const config::Paths& paths, const program::Wanted& wanted) {
  if (wanted.placeholder == "CONTAINER") {
    return containers(paths, wanted);
  }
  if (wanted.placeholder == "IMAGE") {
    return images(paths);
  }
  if (wanted.placeholder == "NETWORK") {
    return networks(paths, wanted);
  }
  if (wanted.placeholder == "TEMPLATE") {
    return templates(paths);
  }
  if (wanted.placeholder == "MACHINE") {
    return machines(paths);
  }
  return wanted.placeholder == "SIGNAL" ? signals() : std::vector<Candidate>();
}

}  // namespace bulkhead::cli
