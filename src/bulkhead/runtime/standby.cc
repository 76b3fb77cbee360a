#include "bulkhead/runtime/standby.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/network/resolver.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/runtime/log_format.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/output_relay.h"
#include "bulkhead/runtime/placeholder_disk.h"
#include "bulkhead/runtime/plan.h"
#include "bulkhead/runtime/standby_pool.h"
#include "bulkhead/store/content.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {
namespace {

/// From the start of the machine until it waits. Nobody waits for it.
constexpr std::chrono::seconds kPatience{60};

/// A start as a container's would be, of the guest's own program.
Result<agent::v1::StartRequest> plan_rehearsal(const std::string& id,
                                               const ContainerOptions& options,
                                               const std::optional<GuestNetwork>& network,
                                               const network::ResolverConfig& resolver) {
  oci::Spec spec = oci::default_spec();
  if (!spec.process) {
    spec.process.emplace();
  }
  spec.process->args = {std::string(kRehearsalProgram)};
  return plan_container(id, spec, options, network, resolver);
}

}  // namespace

Result<std::unique_ptr<Standby>> Standby::create(os::EventLoop& loop, Host& host, std::string id,
                                                 ContainerOptions options, Callbacks callbacks) {
  std::unique_ptr<Standby> standby(
      new Standby(loop, host, std::move(id), std::move(options), std::move(callbacks)));
  BH_TRY(standby->start());
  return standby;
}

Standby::Standby(os::EventLoop& loop, Host& host, std::string id, ContainerOptions options,
                 Callbacks callbacks)
    : loop_(loop),
      host_(host),
      id_(std::move(id)),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)) {}

Standby::~Standby() {
  loop_.cancel(deadline_);
  agent_.reset();
  machine_.reset();
  if (place_) {
    host_.detach_network(id_);
  }
}

Result<> Standby::start() {
  vmm::MachineConfig config{.name = id_,
                            .vcpus = options_.vcpus,
                            .memory_bytes = options_.machine_memory_bytes(),
                            .kernel = {},
                            .initramfs = {}};
  config.disks.push_back(BH_TRY(make_placeholder_disk(
      kBaseSerial, store::kRootFileUnit, vmm::Access::ReadOnly, PlaceholderContent::FileSystem)));
  config.disks.push_back(
      BH_TRY(make_placeholder_disk(kScratchSerial, options_.scratch_bytes, vmm::Access::ReadWrite,
                                   PlaceholderContent::FileSystem)));
  if (options_.network != "none") {
    place_ = BH_TRY(host_.attach_network(options_.network, id_));
    os::UniqueFd tap = BH_TRY(os::duplicate(place_->tap.get()));
    config.network =
        vmm::NetworkDevice{.tap = std::move(tap), .mac_address = place_->guest.mac_address};
  }
  machine_ = BH_TRY(host_.make_machine(loop_, std::move(config), Host::Origin::Template));
  if (!machine_->is_restored()) {
    host_.leave_template(loop_);
    return fail(ErrorCode::NotFound, "there is no template for it yet");
  }
  BH_TRY(machine_->start(
      [this](const vmm::MachineExit& exit) { lose({ErrorCode::Unavailable, exit.description}); }));
  agent_ =
      BH_TRY(agent_client::Agent::create(loop_, machine_->take_agent_channel(),
                                         {.on_ready =
                                              [this] {
                                                if (auto begun = rehearse(); !begun) {
                                                  lose(std::move(begun.error()));
                                                }
                                              },
                                          .on_lost = [this](const Error& error) { lose(error); }}));
  deadline_ = loop_.after(kPatience, [this] {
    deadline_ = 0;
    lose(fail(ErrorCode::Timeout, "it was not ready after {} s", kPatience.count()));
  });
  return {};
}

Result<> Standby::rehearse() {
  const std::optional<GuestNetwork> network = place_ ? std::optional(place_->guest) : std::nullopt;
  agent::v1::StartRequest plan = BH_TRY(plan_rehearsal(
      id_, options_, network, network ? host_.resolver() : network::ResolverConfig{}));
  const auto open = [this](OutputStream stream,
                           std::unique_ptr<OutputRelay>& relay) -> Result<std::uint32_t> {
    relay = BH_TRY(OutputRelay::create(loop_, {.target = {}, .log = nullptr, .stream = stream}));
    const std::uint32_t id = agent_->next_stream();
    BH_TRY(relay->attach(agent_->session(), id));
    return id;
  };
  plan.mutable_process()->set_stdout_stream(BH_TRY(open(OutputStream::Stdout, out_)));
  plan.mutable_process()->set_stderr_stream(BH_TRY(open(OutputStream::Stderr, err_)));
  BH_TRY(complete_plan(machine_->mac_address(), plan));
  agent_->rehearse(plan, [this](Result<> rehearsed) {
    if (!rehearsed) {
      lose(std::move(rehearsed.error()));
      return;
    }
    out_.reset();
    err_.reset();
    loop_.cancel(std::exchange(deadline_, 0));
    if (auto on_ready = std::exchange(callbacks_.on_ready, nullptr)) {
      on_ready();
    }
  });
  return {};
}

/// It may be destroyed by whoever is told.
void Standby::lose(Error error) {
  loop_.cancel(std::exchange(deadline_, 0));
  if (auto on_lost = std::exchange(callbacks_.on_lost, nullptr)) {
    loop_.post(
        [on_lost = std::move(on_lost), error = std::move(error)]() mutable { on_lost(error); });
  }
}

bool Standby::suits(const ContainerOptions& options, const oci::Spec& spec) const {
  return can_take_standby(options, spec) && is_same_machine(options, options_);
}

StandbyMachine Standby::take() {
  callbacks_ = {};
  StandbyMachine taken{.machine = std::move(machine_), .agent = std::move(agent_), .place = {}};
  taken.place = std::exchange(place_, std::nullopt);
  return taken;
}

}  // namespace bulkhead::runtime
