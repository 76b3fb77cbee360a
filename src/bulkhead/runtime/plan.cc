#include "bulkhead/runtime/plan.h"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/memory_size.h"
#include "bulkhead/base/result.h"
#include "bulkhead/network/resolver.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/host_mounts.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {
namespace {

constexpr std::string_view kInterface = "eth0";

template <class To, class From>
void copy_texts(To* to, const From& from) {
  for (const auto& text : from) {
    to->Add(std::string(text));
  }
}

void plan_user(const oci::User& from, agent::v1::User& to) {
  if (!from.username.empty()) {
    to.set_by_name(true);
    to.set_name(from.username);
  }
  to.set_uid(from.uid);
  to.set_gid(from.gid);
  for (const std::uint32_t gid : from.additional_gids) {
    to.add_additional_gids(gid);
  }
  if (from.umask) {
    to.set_umask(*from.umask);
  }
}

void plan_capabilities(const oci::Capabilities& from, agent::v1::Capabilities& to) {
  copy_texts(to.mutable_bounding(), from.bounding);
  copy_texts(to.mutable_effective(), from.effective);
  copy_texts(to.mutable_inheritable(), from.inheritable);
  copy_texts(to.mutable_permitted(), from.permitted);
  copy_texts(to.mutable_ambient(), from.ambient);
}

/// Of a StartRequest or a PrepareRequest.
template <class Request>
void plan_file_systems(const oci::Spec& spec, Request& plan) {
  std::size_t shares = 0;
  std::size_t disks = 0;
  for (const oci::Mount& mount : spec.mounts) {
    agent::v1::Mount& to = *plan.add_mounts();
    to.set_destination(mount.destination);
    copy_texts(to.mutable_options(), mount.options);
    if (is_share(mount)) {
      to.set_type("bind");
      to.set_source(std::to_string(shares++));
    } else if (is_disk(mount)) {
      to.set_type(mount.type);
      to.set_source(std::to_string(disks++));
    } else {
      to.set_type(mount.type);
      to.set_source(mount.source);
    }
  }
  copy_texts(plan.mutable_masked_paths(), spec.linux_settings.masked_paths);
  copy_texts(plan.mutable_readonly_paths(), spec.linux_settings.readonly_paths);
}

Result<std::string> fresh_entropy() {
  constexpr std::size_t kBytes = 256;
  const os::UniqueFd source = BH_TRY(os::open_file("/dev/urandom", O_RDONLY));
  std::string entropy(kBytes, '\0');
  entropy.resize(BH_TRY(os::read_some(source.get(), std::as_writable_bytes(std::span(entropy)))));
  return entropy;
}

void plan_root(agent::v1::RootFileSystem& to) {
  to.set_base_serial(std::string(kBaseSerial));
  to.set_scratch_serial(std::string(kScratchSerial));
}

/// As a container's plan, but with a program that the guest has.
void plan_rehearsal(const oci::Spec& spec, agent::v1::StartRequest& plan) {
  plan.set_hostname("rehearsal");
  plan_file_systems(spec, plan);
  if (spec.process) {
    *plan.mutable_process() = plan_process(*spec.process);
  }
  plan.mutable_process()->clear_arguments();
  plan.mutable_process()->add_arguments(std::string(kRehearsalProgram));
}

template <class T>
std::uint64_t limit(const std::optional<T>& value) {
  return value && *value > 0 ? static_cast<std::uint64_t>(*value) : 0;
}

/// As limit(), but a negative one takes it away.
template <class T>
std::uint64_t new_limit(const std::optional<T>& value) {
  return value && std::cmp_less(*value, 0) ? std::numeric_limits<std::uint64_t>::max()
                                           : limit(value);
}

void plan_resources(const oci::Resources& from, agent::v1::Resources& to) {
  to.set_memory_bytes(limit(from.memory_limit_bytes));
  to.set_cpu_quota_microseconds(limit(from.cpu_quota_microseconds));
  to.set_cpu_period_microseconds(limit(from.cpu_period_microseconds));
  to.set_cpu_shares(limit(from.cpu_shares));
  to.set_pids(limit(from.pids_limit));
}

/// A machine with more memory than was asked for: the container gets what was.
void limit_memory(const ContainerOptions& options, agent::v1::Resources& resources) {
  const bool has_more =
      resources.memory_bytes() == 0 || resources.memory_bytes() > options.memory_bytes;
  if (has_more && options.machine_memory_bytes() > options.memory_bytes) {
    resources.set_memory_bytes(options.memory_bytes);
  }
}

void plan_network(const GuestNetwork& from, agent::v1::Network& to) {
  agent::v1::Interface& interface = *to.add_interfaces();
  interface.set_name(std::string(kInterface));
  interface.set_mac_address(from.mac_address);
  interface.set_mtu(from.mtu);
  interface.add_addresses(fmt::format("{}/{}", from.address, from.prefix));
  if (!from.gateway.empty()) {
    agent::v1::Route& route = *to.add_routes();
    route.set_destination("0.0.0.0/0");
    route.set_gateway(from.gateway);
    route.set_interface(std::string(kInterface));
  }
}

/// Unless something else is mounted there.
void add_file(agent::v1::StartRequest& plan, std::string path, std::string content) {
  if (std::ranges::any_of(plan.mounts(), [&](const agent::v1::Mount& mount) {
        return mount.destination() == path;
      })) {
    return;
  }
  agent::v1::GeneratedFile& file = *plan.add_files();
  file.set_path(std::move(path));
  file.set_content(std::move(content));
  file.set_mode(0644);
}

}  // namespace

std::string container_hostname(const std::string& id, const oci::Spec& spec,
                               const ContainerOptions& options) {
  if (!options.hostname.empty()) {
    return options.hostname;
  }
  return spec.hostname.empty() ? id.substr(0, 12) : spec.hostname;
}

std::string hosts_file(const std::string& hostname, const std::optional<GuestNetwork>& network,
                       const ContainerOptions& options) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::\tip6-localnet\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  text += fmt::format("{}\t{}\n", network ? network->address : "127.0.1.1", hostname);
  for (const HostEntry& entry : options.hosts) {
    text += fmt::format("{}\t{}\n", entry.address, entry.name);
  }
  return text;
}

std::string resolv_conf(const ContainerOptions& options, const network::ResolverConfig& host) {
  const auto or_host = [](const std::vector<std::string>& wanted,
                          const std::vector<std::string>& fallback) {
    return wanted.empty() ? fallback : wanted;
  };
  return network::ResolverConfig{.servers = or_host(options.dns_servers, host.servers),
                                 .searches = or_host(options.dns_searches, host.searches),
                                 .options = or_host(options.dns_options, host.options)}
      .text();
}

agent::v1::Process plan_process(const oci::Process& process) {
  agent::v1::Process plan;
  copy_texts(plan.mutable_arguments(), process.args);
  copy_texts(plan.mutable_environment(), process.env);
  plan.set_working_directory(process.cwd);
  plan_user(process.user, *plan.mutable_user());
  plan.set_terminal(process.terminal);
  if (process.console_size) {
    plan.set_terminal_columns(process.console_size->width);
    plan.set_terminal_rows(process.console_size->height);
  }
  // A process without the member has no capabilities, as with runc.
  plan_capabilities(process.capabilities.value_or(oci::Capabilities{}),
                    *plan.mutable_capabilities());
  plan.set_no_new_privileges(process.no_new_privileges);
  for (const oci::ResourceLimit& from : process.rlimits) {
    agent::v1::ResourceLimit& to = *plan.add_resource_limits();
    to.set_type(from.type);
    to.set_soft(from.soft);
    to.set_hard(from.hard);
  }
  plan.set_oom_score_adj(process.oom_score_adj.value_or(0));
  return plan;
}

agent::v1::PrepareRequest plan_preparation(const oci::Spec& spec, Rehearsal rehearsal) {
  agent::v1::PrepareRequest plan;
  plan_file_systems(spec, plan);
  plan_root(*plan.mutable_root());
  if (rehearsal == Rehearsal::Yes) {
    plan_rehearsal(spec, *plan.mutable_rehearsal());
  }
  return plan;
}

Result<agent::v1::StartRequest> plan_container(const std::string& id, const oci::Spec& spec,
                                               const ContainerOptions& options,
                                               const std::optional<GuestNetwork>& network,
                                               const network::ResolverConfig& resolver) {
  if (!spec.process) {
    return fail(ErrorCode::Invalid, "config.json: there is no process");
  }
  agent::v1::StartRequest plan;
  plan.set_container_id(id);
  plan_root(*plan.mutable_root());
  plan.set_readonly_root(spec.root.readonly);
  plan_file_systems(spec, plan);
  if (network) {
    plan_network(*network, *plan.mutable_network());
  }
  const std::string hostname = container_hostname(id, spec, options);
  plan.set_hostname(hostname);
  for (const auto& [name, value] : spec.linux_settings.sysctl) {
    agent::v1::Sysctl& to = *plan.add_sysctls();
    to.set_name(name);
    to.set_value(value);
  }
  plan_resources(spec.linux_settings.resources, *plan.mutable_resources());
  limit_memory(options, *plan.mutable_resources());
  add_file(plan, "/etc/hosts", hosts_file(hostname, network, options));
  add_file(plan, "/etc/resolv.conf",
           resolv_conf(options, network ? resolver : network::ResolverConfig{}));
  add_file(plan, "/etc/hostname", hostname + "\n");
  *plan.mutable_process() = plan_process(*spec.process);
  if (plan.process().terminal_columns() == 0) {
    plan.mutable_process()->set_terminal_columns(options.terminal_columns);
    plan.mutable_process()->set_terminal_rows(options.terminal_rows);
  }
  return plan;
}

Result<> complete_plan(const std::string& device_mac_address, agent::v1::StartRequest& plan) {
  for (agent::v1::Interface& interface : *plan.mutable_network()->mutable_interfaces()) {
    interface.set_device_mac_address(device_mac_address);
  }
  plan.set_entropy(BH_TRY(fresh_entropy()));
  plan.mutable_clock()->set_unix_nanoseconds(wall_now().time_since_epoch().count());
  return {};
}

Result<agent::v1::Resources> plan_update(const oci::Resources& resources,
                                         std::uint64_t machine_memory_bytes) {
  agent::v1::Resources limits;
  if (const std::uint64_t memory = new_limit(resources.memory_limit_bytes); memory != 0) {
    if (resources.memory_limit_bytes > 0 && memory > machine_memory_bytes) {
      return fail(ErrorCode::FailedPrecondition,
                  "{} of memory: the machine has {} until it is started again; stop the container, "
                  "update it, start it",
                  format_memory_size(memory), format_memory_size(machine_memory_bytes));
    }
    limits.set_memory_bytes(std::min(memory, machine_memory_bytes));
  }
  limits.set_cpu_quota_microseconds(new_limit(resources.cpu_quota_microseconds));
  limits.set_cpu_period_microseconds(limit(resources.cpu_period_microseconds));
  limits.set_cpu_shares(limit(resources.cpu_shares));
  limits.set_pids(new_limit(resources.pids_limit));
  return limits;
}

}  // namespace bulkhead::runtime
