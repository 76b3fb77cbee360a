#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::network {

/// The network that a container gets unless it asks for another.
inline constexpr std::string_view kDefaultNetwork = "bulkhead";

/// The name that asks for no network at all; never passed to attach().
inline constexpr std::string_view kNoNetwork = "none";

/// A container's place in a network.
struct Attachment {
  std::string network;
  std::string interface;    ///< the TAP's name on the host
  os::UniqueFd tap;         ///< the interface goes when the last copy is closed
  std::string mac_address;  ///< "02:00:0a:4f:00:02", made of the address
  std::string address;      ///< "10.79.0.2"
  std::uint8_t prefix_length = 0;
  std::string gateway;
  std::uint32_t mtu = 0;
};

/// An address in use.
struct Lease {
  std::string owner;
  std::string address;
};

struct NetworkInfo {
  std::string name;
  std::string bridge;
  bool has_bridge = false;  ///< somebody may have taken it away
  std::string subnet;       ///< "10.79.0.0/16"
  std::string gateway;      ///< "10.79.0.1"
  std::uint32_t mtu = 0;
  std::uint64_t leases = 0;
};

/// The machine's bridge networks: addresses are leased from a database in the run directory (a
/// reboot frees them), bridge and firewall tables are made when first needed, and again when
/// somebody took them away. Any number of processes and run directories at once: they share the
/// bridge, and no address is leased twice in one network namespace. One thread.
///
/// A container may send only what bears its own MAC and IP address: each TAP's triple is an element
/// of a set of the bridge table. Leaving packets are translated to the host's address; nobody
/// beyond the host can begin a connection to a container.
class Networks {
 public:
  /// Makes the database if absent; touches no interface yet.
  static Result<Networks> open(const std::string& run_directory);

  /// For looking: makes nothing. Errors: NotFound before the first container since the boot.
  static Result<Networks> open_existing(const std::string& run_directory);

  Networks(Networks&&) noexcept;
  Networks& operator=(Networks&&) noexcept;
  Networks(const Networks&) = delete;
  Networks& operator=(const Networks&) = delete;
  ~Networks();

  /// Leases an address to `owner` and makes its TAP. An owner has one lease at most; one that it
  /// left behind when it crashed is replaced.
  /// Errors: NotFound for an unknown network, AlreadyExists, ResourceExhausted when no address is
  /// free, FailedPrecondition when a link of somebody else has the bridge's name,
  /// PermissionDenied, Unsupported when the host has no bridges, TAPs or nftables.
  Result<Attachment> attach(std::string_view network, const std::string& owner);

  /// Gives the address back. Nothing leased is fine.
  Result<> detach(const std::string& owner);

  /// Gives back what owners hold who are not alive. An owner that is starting must count as alive
  /// before it attaches. Goes on after a failure, and returns the first.
  Result<> reap(const std::function<bool(const std::string& owner)>& is_alive);

  /// Networks that are in use or were since the last boot.
  Result<std::vector<NetworkInfo>> list();

  /// In the order of their addresses.
  Result<std::vector<Lease>> leases(std::string_view network);

  /// Removes bridge, firewall tables and settings; the next attach() makes them again.
  /// Errors: NotFound; FailedPrecondition, naming who uses it, or when its bridge is a link of
  /// somebody else; PermissionDenied.
  Result<> remove(std::string_view network);

 private:
  struct State;

  explicit Networks(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace bulkhead::network
