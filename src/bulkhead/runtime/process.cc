#include "bulkhead/runtime/process.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/runtime/input_relay.h"
#include "bulkhead/runtime/log_format.h"
#include "bulkhead/runtime/output_relay.h"
#include "bulkhead/runtime/stdio_target.h"

namespace bulkhead::runtime {

Result<std::unique_ptr<Process>> Process::create(os::EventLoop& loop, Config config,
                                                 agent::v1::Process plan) {
  plan.set_terminal(config.terminal);
  std::unique_ptr<Process> process(new Process(loop, std::move(config), std::move(plan)));
  BH_TRY(process->open_stdio());
  return process;
}

Result<> Process::open_stdio() {
  const StdioTarget in = BH_TRY(StdioTarget::parse(config_.stdio.in));
  const StdioTarget out = BH_TRY(StdioTarget::parse(config_.stdio.out));
  const StdioTarget err = BH_TRY(StdioTarget::parse(config_.stdio.err));
  if (in.kind != StdioTarget::Kind::None) {
    in_ = BH_TRY(InputRelay::create(loop_, in, config_.stdin_life));
  }
  const auto open = [&](const StdioTarget& target,
                        OutputStream stream) -> Result<std::unique_ptr<OutputRelay>> {
    if (target.kind == StdioTarget::Kind::None && config_.log == nullptr) {
      return nullptr;
    }
    return OutputRelay::create(loop_, {.target = target, .log = config_.log, .stream = stream});
  };
  out_ = BH_TRY(open(out, OutputStream::Stdout));
  // A terminal has one output.
  if (!config_.terminal) {
    err_ = BH_TRY(open(err, OutputStream::Stderr));
  }
  return {};
}

Result<> Process::open_streams(agent_client::Agent& agent) {
  const auto attach = [&](auto& relay) -> Result<std::uint32_t> {
    if (relay == nullptr) {
      return 0U;
    }
    const std::uint32_t id = agent.next_stream();
    BH_TRY(relay->attach(agent.session(), id));
    return id;
  };
  plan_.set_stdin_stream(BH_TRY(attach(in_)));
  plan_.set_stdout_stream(BH_TRY(attach(out_)));
  plan_.set_stderr_stream(BH_TRY(attach(err_)));
  state_ = ProcessState::Starting;
  return {};
}

void Process::close_stdin() {
  if (in_ != nullptr) {
    in_->close_after_drain();
  }
}

void Process::end(std::uint32_t status, WallTime at, std::move_only_function<void()> done) {
  state_ = ProcessState::Draining;
  exit_ = {.status = status, .at = at};
  ended_ = std::move(done);
  in_.reset();
  draining_ = 1;
  for (OutputRelay* relay : {out_.get(), err_.get()}) {
    if (relay != nullptr) {
      ++draining_;
      relay->drain([this] { on_drained(); });
    }
  }
  on_drained();
}

void Process::on_drained() {
  if (--draining_ != 0) {
    return;
  }
  out_.reset();
  err_.reset();
  state_ = ProcessState::Stopped;
  auto done = std::move(ended_);
  done();
}

void Process::abandon_output() {
  for (OutputRelay* relay : {out_.get(), err_.get()}) {
    if (relay != nullptr) {
      relay->abandon();
    }
  }
}

void Process::wait(WaitCallback callback) {
  if (state_ == ProcessState::Stopped) {
    callback(exit_);
    return;
  }
  waiting_.push_back(std::move(callback));
}

void Process::announce() {
  std::vector<WaitCallback> waiting;
  waiting.swap(waiting_);
  const ExitRecord exit = exit_;  // one of them may forget this process
  for (WaitCallback& callback : waiting) {
    callback(exit);
  }
}

}  // namespace bulkhead::runtime
