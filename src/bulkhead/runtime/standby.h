#pragma once

// A machine that stands by: restored from its template before its container is known, with a place
// in the network and placeholders for disks, after a rehearsal of a whole start.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/base/result.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/output_relay.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {

/// What a container takes over.
struct StandbyMachine {
  std::unique_ptr<vmm::Machine> machine;
  std::unique_ptr<agent_client::Agent> agent;
  /// The container is its owner from here on. Nothing for network "none".
  std::optional<NetworkPlace> place;
};

class Standby {
 public:
  struct Callbacks {
    /// It waits for its container. Once.
    std::move_only_function<void()> on_ready;
    /// There is no machine any more, or it does not serve; whatever it held is given back. Once,
    /// not after take().
    std::move_only_function<void(const Error&)> on_lost;
  };

  /// Begins. `id`: of the container that will have it, if one will. `host` outlives it.
  /// Errors: NotFound where there is no template (one is begun to be made); as
  /// Host::make_machine and attach_network.
  static Result<std::unique_ptr<Standby>> create(os::EventLoop& loop, Host& host, std::string id,
                                                 ContainerOptions options, Callbacks callbacks);

  Standby(const Standby&) = delete;
  Standby& operator=(const Standby&) = delete;

  /// Kills the machine and gives its network place back, unless they were taken.
  ~Standby();

  /// A container with these may have it.
  [[nodiscard]] bool suits(const ContainerOptions& options, const oci::Spec& spec) const;

  /// Once, when it is ready.
  StandbyMachine take();

 private:
  Standby(os::EventLoop& loop, Host& host, std::string id, ContainerOptions options,
          Callbacks callbacks);

  Result<> start();
  Result<> rehearse();
  void lose(Error error);

  os::EventLoop& loop_;
  Host& host_;
  std::string id_;
  ContainerOptions options_;
  Callbacks callbacks_;
  std::optional<NetworkPlace> place_;
  os::EventLoop::TimerId deadline_ = 0;
  std::unique_ptr<OutputRelay> out_;  ///< of the rehearsal
  std::unique_ptr<OutputRelay> err_;
  // Last: what calls back goes first.
  std::unique_ptr<vmm::Machine> machine_;
  std::unique_ptr<agent_client::Agent> agent_;
};

}  // namespace bulkhead::runtime
