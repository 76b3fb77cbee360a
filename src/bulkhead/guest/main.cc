// PID 1 of a container's virtual machine, and the agent that carries out what the host's shim asks.

#include <memory>
#include <utility>

#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/agent.h"
#include "bulkhead/guest/boot.h"
#include "bulkhead/guest/phases.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/machine.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest {
namespace {

Result<> run() {
  Phases phases;
  phases.mark("init");
  BH_TRY(prepare_machine());
  os::UniqueFd port = BH_TRY(open_agent_port());
  const std::unique_ptr<os::EventLoop> loop = BH_TRY(os::EventLoop::create());
  phases.mark("agent");
  const std::unique_ptr<Agent> agent =
      BH_TRY(Agent::create(*loop, std::move(port), std::move(phases)));
  settle_machine();
  return loop->run();
}

}  // namespace
}  // namespace bulkhead::guest

int main() {
  const auto result = bulkhead::guest::run();
  // PID 1 never ends by itself: what there is to say goes to the console, and the power goes off.
  bulkhead::log::error("init: {}", result ? "the loop ended" : result.error().message());
  bulkhead::log::error("init: {}", bulkhead::os::restart_machine().message());
  return 1;
}
