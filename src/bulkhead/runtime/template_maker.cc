#include "bulkhead/runtime/template_maker.h"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/tap.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/placeholder_disk.h"
#include "bulkhead/runtime/plan.h"
#include "bulkhead/runtime/templates.h"
#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/qemu_machine.h"

namespace bulkhead::runtime {
namespace {

constexpr const char* kProgram = "bulkhead-warm";
constexpr std::chrono::seconds kPatience{60};

Result<vmm::MachineConfig> machine_config(const config::Paths& paths,
                                          const TemplateRequest& request) {
  vmm::MachineConfig machine{.name = "template",
                             .vcpus = request.vcpus,
                             .memory_bytes = request.memory_bytes,
                             .kernel = paths.kernel(),
                             .initramfs = paths.initramfs(),
                             .takes_data_disks = request.takes_data_disks};
  machine.disks.push_back(BH_TRY(make_placeholder_disk(
      kBaseSerial, request.base_bytes, vmm::Access::ReadOnly, PlaceholderContent::Nothing)));
  machine.disks.push_back(BH_TRY(make_placeholder_disk(
      kScratchSerial, request.scratch_bytes, vmm::Access::ReadWrite, PlaceholderContent::Nothing)));
  if (request.has_network) {
    os::UniqueFd tap = BH_TRY(os::create_tap("template"));
    machine.network = vmm::NetworkDevice{.tap = std::move(tap),
                                         .mac_address = std::string(vmm::qemu::kSavedMacAddress)};
  }
  return machine;
}

/// Boots the machine, saves it, and sees it end.
class Saving {
 public:
  /// `is_emulated`: its processors translate what they execute.
  Saving(os::EventLoop& loop, bool is_emulated) : loop_(loop), is_emulated_(is_emulated) {}

  Result<> run(vmm::Machine& machine) {
    const agent::v1::PrepareRequest preparation =
        plan_preparation(oci::default_spec(), is_emulated_ ? Rehearsal::Yes : Rehearsal::No);
    BH_TRY(machine.start([this](const vmm::MachineExit& exit) { on_exit(exit); }));
    const auto agent = BH_TRY(agent_client::Agent::create(loop_, machine.take_agent_channel(), {}));
    agent->prepare(preparation, [this, &machine](const Result<>& prepared) {
      if (prepared) {
        save(machine);
      } else {
        finish(machine, prepared);
      }
    });
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!is_over_) {
      if (std::chrono::steady_clock::now() > deadline) {
        return fail(ErrorCode::Timeout, "the machine was not saved within {} s", kPatience.count());
      }
      BH_TRY(loop_.run_once(std::chrono::milliseconds(100)));
    }
    return std::move(result_);
  }

 private:
  void save(vmm::Machine& machine) {
    machine.save([this, &machine](Result<> saved) { finish(machine, std::move(saved)); });
  }

  void finish(vmm::Machine& machine, Result<> result) {
    result_ = std::move(result);
    has_result_ = true;
    machine.kill();
  }

  void on_exit(const vmm::MachineExit& exit) {
    is_over_ = true;
    if (exit.status.signal == SIGBUS) {
      // A page of its memory had no place in the file.
      result_ = fail(ErrorCode::NoSpace, "the file system has no room for a template");
    } else if (!has_result_) {
      result_ = fail(ErrorCode::Unavailable, "the machine ended before it was saved: {}",
                     exit.description);
    }
  }

  os::EventLoop& loop_;
  bool is_emulated_;
  Result<> result_;
  bool has_result_ = false;
  bool is_over_ = false;
};

}  // namespace

Result<TemplateShape> shape_of(const vmm::qemu::Platform& platform,
                               const vmm::MachineConfig& config) {
  std::string text = BH_TRY(vmm::qemu::shape(platform, config));
  return TemplateShape{.text = std::move(text),
                       .vcpus = config.vcpus,
                       .memory_bytes = config.memory_bytes,
                       .has_network = config.network.has_value()};
}

Result<TemplateOutcome> make_template(const config::Paths& paths, const TemplateRequest& request,
                                      std::uint64_t budget) {
  vmm::MachineConfig config = BH_TRY(machine_config(paths, request));
  const Templates templates(paths);
  auto platform =
      BH_TRY(vmm::qemu::Platform::find({.run_directory = paths.run, .libexec = paths.libexec}));
  const TemplateShape shape = BH_TRY(shape_of(platform, config));
  TemplateOutcome outcome{.key = shape.key()};
  auto draft = BH_TRY(templates.begin(shape));
  if (!draft) {
    return outcome;
  }
  config.save_to = BH_TRY(draft->files());
  const auto loop = BH_TRY(os::EventLoop::create());
  const bool is_emulated = platform.host.decision.accelerator == vmm::Accelerator::Tcg;
  const auto machine =
      BH_TRY(vmm::qemu::create_machine(*loop, std::move(platform), std::move(config)));
  BH_TRY(Saving(*loop, is_emulated).run(*machine));
  BH_TRY(draft->commit());
  BH_TRY(templates.trim(budget));
  outcome.is_new = true;
  return outcome;
}

Result<os::Process> make_template_beside(const config::Paths& paths,
                                         const TemplateRequest& request) {
  std::vector<std::string> arguments = {paths.program(kProgram),
                                        std::to_string(request.vcpus),
                                        std::to_string(request.memory_bytes),
                                        std::to_string(request.base_bytes),
                                        std::to_string(request.scratch_bytes),
                                        request.has_network ? "network" : "none",
                                        request.takes_data_disks ? "data" : "none"};
  constexpr int kErrors = 2;
  return os::spawn({.arguments = std::move(arguments),
                    .descriptors = {{.source = kErrors, .target = kErrors}},
                    .new_session = true});
}

}  // namespace bulkhead::runtime
