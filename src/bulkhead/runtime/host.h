#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/network/resolver.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/plan.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {

/// A container's place in a network: the host's half and what the guest is told.
struct NetworkPlace {
  std::string network;
  GuestNetwork guest;
  os::UniqueFd tap;
};

/// What a container takes from the host. Tests script it.
class Host {
 public:
  Host() = default;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  virtual ~Host() = default;

  enum class Origin : std::uint8_t {
    Template,  ///< restored where there is a template of its shape
    Boot,
  };

  /// Kernel and initramfs are filled in where they are empty.
  virtual Result<std::unique_ptr<vmm::Machine>> make_machine(os::EventLoop& loop,
                                                             vmm::MachineConfig config,
                                                             Origin origin) = 0;

  /// The last machine, which was restored, is what a machine made from `config` would be.
  virtual bool is_of_last_shape(vmm::MachineConfig& config) = 0;

  /// The last machine was restored and does not run: its template is not used again.
  virtual void drop_template() = 0;

  /// Begins to make, beside, the template that the last machine could have used and that was not
  /// there.
  virtual void leave_template(os::EventLoop& loop) = 0;

  virtual Result<NetworkPlace> attach_network(const std::string& network,
                                              const std::string& owner) = 0;
  /// Nothing attached is fine.
  virtual void detach_network(const std::string& owner) = 0;

  virtual network::ResolverConfig resolver() = 0;

  enum class ScratchLife : std::uint8_t {
    Container,  ///< nobody reads it after a crash: it has no journal
    Kept,
  };

  /// The writable disk, made and formatted if absent, opened for reading and writing.
  virtual Result<os::UniqueFd> open_scratch(const std::string& path, std::uint64_t size_bytes,
                                            ScratchLife life) = 0;
};

/// The real one.
std::unique_ptr<Host> make_host(config::Paths paths);

}  // namespace bulkhead::runtime
