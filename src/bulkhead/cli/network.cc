#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/standby_pool.h"

namespace bulkhead::cli {
namespace {

using network::NetworkInfo;

/// The networks as they are now: what killed shims left is given back first.
Result<network::Networks> open_networks(const config::Paths& paths) {
  std::ignore = BH_TRY(open_containers(paths));
  return network::Networks::open(paths.run);
}

/// Machines that wait for a container are nobody's yet: they do not keep a network.
Result<> end_standing_machines(const config::Paths& paths, const std::string& network) {
  const runtime::StandbyPool pool(paths);
  for (const runtime::StandbyRecord& one : BH_TRY(pool.list())) {
    if (one.options.network == network) {
      BH_TRY(pool.remove(one.id));
    }
  }
  return {};
}

json::Value summary(const NetworkInfo& network) {
  json::Value value;
  value.set("name", network.name);
  value.set("bridge", network.bridge);
  value.set("bridge_present", network.has_bridge);
  value.set("subnet", network.subnet);
  value.set("gateway", network.gateway);
  value.set("mtu", network.mtu);
  return value;
}

/// Who has which address. One whose record is gone has no name any more.
json::Value users(const runtime::ContainerStore& containers,
                  const std::vector<network::Lease>& leases) {
  json::Array array;
  for (const network::Lease& lease : leases) {
    const auto container = containers.load(lease.owner);
    json::Value value;
    value.set("id", lease.owner);
    value.set("name", container ? container->record.name : std::string());
    value.set("address", lease.address);
    array.push_back(std::move(value));
  }
  return json::Value(std::move(array));
}

}  // namespace

Result<int> network_list(const config::Paths& paths, const NetworkListOptions& options) {
  auto networks = BH_TRY(open_networks(paths));
  const std::vector<NetworkInfo> list = BH_TRY(networks.list());
  if (options.format == OutputFormat::Json) {
    json::Array array;
    for (const NetworkInfo& network : list) {
      json::Value value = summary(network);
      value.set("containers", network.leases);
      array.push_back(std::move(value));
    }
    fmt::print("{}", json::write(json::Value(std::move(array)), json::Style::Pretty));
    return 0;
  }
  Table table({"NETWORK", "BRIDGE", "SUBNET", "GATEWAY", "MTU", "CONTAINERS"});
  for (const NetworkInfo& network : list) {
    if (options.quiet) {
      fmt::print("{}\n", network.name);
      continue;
    }
    table.add({network.name, network.bridge + (network.has_bridge ? "" : " (gone)"), network.subnet,
               network.gateway, std::to_string(network.mtu), std::to_string(network.leases)});
  }
  fmt::print("{}", options.quiet ? "" : table.text());
  return 0;
}

Result<int> network_inspect(const config::Paths& paths, const std::vector<std::string>& names) {
  const auto containers = BH_TRY(open_containers(paths));
  auto networks = BH_TRY(network::Networks::open(paths.run));
  const std::vector<NetworkInfo> list = BH_TRY(networks.list());
  json::Array array;
  int status = 0;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(list, name, &NetworkInfo::name);
    if (found == list.end()) {
      const bool is_default = name == network::kDefaultNetwork;
      print_error({ErrorCode::NotFound,
                   fmt::format("network {}: not there{}", quote(name),
                               is_default ? "; the first container that starts makes it" : "")});
      status = 1;
      continue;
    }
    json::Value value = summary(*found);
    value.set("containers", users(containers, BH_TRY(networks.leases(name))));
    array.push_back(std::move(value));
  }
  fmt::print("{}", json::write(json::Value(std::move(array)), json::Style::Pretty));
  return status;
}

Result<int> network_remove(const config::Paths& paths, const std::vector<std::string>& names) {
  auto networks = BH_TRY(open_networks(paths));
  int status = 0;
  for (const std::string& name : names) {
    BH_TRY(end_standing_machines(paths, name));
    if (const auto removed = networks.remove(name); !removed) {
      print_error(removed.error());
      status = 1;
    } else {
      fmt::print("{}\n", name);
    }
  }
  return status;
}

Result<int> network_prune(const config::Paths& paths) {
  auto networks = BH_TRY(open_networks(paths));
  for (const NetworkInfo& network : BH_TRY(networks.list())) {
    BH_TRY(end_standing_machines(paths, network.name));
    const auto removed = networks.remove(network.name);
    if (removed) {
      fmt::print("{}\n", network.name);
    } else if (removed.error().code() != ErrorCode::FailedPrecondition) {
      return removed.error();
    }
  }
  return 0;
}

}  // namespace bulkhead::cli
