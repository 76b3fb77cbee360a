#pragma once

// What the guest is told: the agent's messages, made from the OCI specification and the options.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/result.h"
#include "bulkhead/network/resolver.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {

/// The guest finds its disks by these serial numbers.
inline constexpr std::string_view kBaseSerial = "base";
inline constexpr std::string_view kScratchSerial = "scratch";

/// What a rehearsal executes: the guest's own.
inline constexpr std::string_view kRehearsalProgram = "/rehearsal";

/// The container's own network interface; nothing of it for network "none".
struct GuestNetwork {
  std::string mac_address;
  std::string address;        ///< "10.79.0.2"
  std::uint32_t prefix = 16;  ///< length
  std::string gateway;
  std::uint32_t mtu = 0;  ///< 0: leave
};

/// The name that the container knows itself by: the options', the specification's, or the first 12
/// characters of the id.
std::string container_hostname(const std::string& id, const oci::Spec& spec,
                               const ContainerOptions& options);

std::string hosts_file(const std::string& hostname, const std::optional<GuestNetwork>& network,
                       const ContainerOptions& options);

/// What the options name, and of the rest what the host has.
std::string resolv_conf(const ContainerOptions& options, const network::ResolverConfig& host);

/// One process. Streams are left at 0.
agent::v1::Process plan_process(const oci::Process& process);

/// What a template's guest makes before it is saved: what containers of that specification share.
/// Where processors are emulated, a rehearsal makes starts faster; elsewhere it only costs.
enum class Rehearsal : std::uint8_t { No, Yes };
agent::v1::PrepareRequest plan_preparation(const oci::Spec& spec, Rehearsal rehearsal);

/// Everything but clock, entropy and the process's streams.
/// Errors: Invalid without a process.
Result<agent::v1::StartRequest> plan_container(const std::string& id, const oci::Spec& spec,
                                               const ContainerOptions& options,
                                               const std::optional<GuestNetwork>& network,
                                               const network::ResolverConfig& resolver);

/// What is known when it is sent: clock, entropy, by which address the guest finds its interface.
/// Errors: as reading /dev/urandom.
Result<> complete_plan(const std::string& device_mac_address, agent::v1::StartRequest& plan);

/// New limits for a container that runs: of members that are absent, or 0, nothing; of negative
/// ones that there is none. Memory and its negative are bounded by the machine, which has no swap.
/// Errors: FailedPrecondition for more memory than the machine has.
Result<agent::v1::Resources> plan_update(const oci::Resources& resources,
                                         std::uint64_t machine_memory_bytes);

}  // namespace bulkhead::runtime
