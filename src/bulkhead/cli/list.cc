#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/mounts.h"
#include "bulkhead/cli/start.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"

namespace bulkhead::cli {
namespace {

using runtime::ContainerStatus;
using runtime::StoredContainer;

constexpr std::size_t kShortCommand = 24;

std::string status_text(const StoredContainer& container) {
  const auto& state = container.state;
  switch (state.status) {
    case ContainerStatus::Created:
      return "Created";
    case ContainerStatus::Running:
      return "Up " + format_age(state.started_at.value_or(container.record.created));
    case ContainerStatus::Stopped:
      return fmt::format("Exited ({}) {} ago", state.exit_code,
                         format_age(state.finished_at.value_or(container.record.created)));
  }
  return {};
}

std::string command_text(const std::vector<std::string>& command, bool whole) {
  std::string text;
  for (const std::string& word : command) {
    text += (text.empty() ? "" : " ") + word;
  }
  std::ranges::replace_if(text, [](unsigned char c) { return c < 0x20; }, ' ');
  if (!whole && text.size() > kShortCommand) {
    text.resize(kShortCommand - 1);
    text += "…";
  }
  return text;
}

json::Value time_value(const std::optional<WallTime>& time) {
  return time ? json::Value(format_rfc3339(*time)) : json::Value();
}

json::Value summary(const StoredContainer& container) {
  const auto& record = container.record;
  const auto& state = container.state;
  json::Value value;
  value.set("id", record.id);
  value.set("name", record.name);
  value.set("image", record.image);
  value.set("command", record.command);
  value.set("created", format_rfc3339(record.created));
  value.set("status", std::string(to_string(state.status)));
  value.set("exit_code", state.exit_code);
  value.set("address", state.address);
  return value;
}

/// Of the container's network; empty when it has none.
std::string gateway_of(const config::Paths& paths, const runtime::ContainerState& state) {
  if (state.address.empty()) {
    return {};
  }
  auto networks = network::Networks::open(paths.run);
  const auto list =
      networks ? networks->list() : Result<std::vector<network::NetworkInfo>>(networks.error());
  if (list) {
    for (const network::NetworkInfo& info : *list) {
      if (info.name == state.network) {
        return info.gateway;
      }
    }
  }
  return {};
}

json::Value mount_value(const oci::Mount& mount) {
  json::Value value;
  value.set("type", mount.type);
  value.set("source", mount.source);
  value.set("destination", mount.destination);
  value.set("options", mount.options);
  return value;
}

json::Value details(const runtime::ContainerStore& store, const StoredContainer& container) {
  const auto& record = container.record;
  const auto& state = container.state;
  json::Value state_value;
  state_value.set("status", std::string(to_string(state.status)));
  state_value.set("shim_pid", state.shim_pid);
  state_value.set("vm_pid", state.vm_pid);
  state_value.set("started_at", time_value(state.started_at));
  state_value.set("finished_at", time_value(state.finished_at));
  state_value.set("exit_code", state.exit_code);
  state_value.set("error", state.error);
  state_value.set("oom_killed", state.oom_killed);
  state_value.set("warm", state.warm);
  state_value.set("standby", state.standby);
  json::Value network;
  network.set("name", state.network.empty() ? record.options.network : state.network);
  network.set("address", state.address);
  network.set("gateway", gateway_of(store.paths(), state));
  network.set("mac", state.mac);
  json::Array mounts;
  if (const auto spec = load_spec(store, record.id)) {
    std::ranges::transform(added_mounts(*spec), std::back_inserter(mounts), mount_value);
  }
  json::Value labels{json::Object{}};
  for (const auto& [name, text] : record.labels) {
    labels.set(name, text);
  }
  json::Value value;
  value.set("id", record.id);
  value.set("name", record.name);
  value.set("image", record.image);
  value.set("image_id", record.image_id);
  value.set("image_digest", record.image_digest);
  value.set("created", format_rfc3339(record.created));
  value.set("command", record.command);
  value.set("labels", std::move(labels));
  value.set("auto_remove", record.auto_remove);
  value.set("state", std::move(state_value));
  value.set("network", std::move(network));
  value.set("mounts", std::move(mounts));
  value.set("options", record.options.to_json());
  value.set("bundle", store.bundle(record.id));
  value.set("log", store.log_path(record.id));
  value.set("root", record.root);
  return value;
}

}  // namespace

Result<int> list(const config::Paths& paths, const ListOptions& options) {
  const auto store = BH_TRY(open_containers(paths));
  auto containers = BH_TRY(store.list());
  if (!options.all) {
    std::erase_if(containers, [](const StoredContainer& container) {
      return container.state.status != ContainerStatus::Running;
    });
  }
  // Newest first, as docker has it.
  std::ranges::reverse(containers);
  if (options.format == OutputFormat::Json) {
    json::Array array;
    for (const StoredContainer& container : containers) {
      array.push_back(summary(container));
    }
    fmt::print("{}", json::write(json::Value(std::move(array)), json::Style::Pretty));
    return 0;
  }
  const std::size_t id_length = options.no_truncation ? std::string::npos : kShortId;
  if (options.quiet) {
    for (const StoredContainer& container : containers) {
      fmt::print("{}\n", container.record.id.substr(0, id_length));
    }
    return 0;
  }
  Table table({"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "ADDRESS", "NAME"});
  for (const StoredContainer& container : containers) {
    const auto& record = container.record;
    table.add({record.id.substr(0, id_length), oci::familiar(record.image),
               command_text(record.command, options.no_truncation),
               format_age(record.created) + " ago", status_text(container), container.state.address,
               record.name});
  }
  fmt::print("{}", table.text());
  return 0;
}

Result<int> inspect(const config::Paths& paths, const std::vector<std::string>& containers) {
  auto store = BH_TRY(open_containers(paths));
  json::Array array;
  const int status = BH_TRY(for_each_container(store, containers, NameOutput::Silent,
                                               [&](const StoredContainer& container) -> Result<> {
                                                 array.push_back(details(store, container));
                                                 return {};
                                               }));
  fmt::print("{}", json::write(json::Value(std::move(array)), json::Style::Pretty));
  return status;
}

}  // namespace bulkhead::cli
