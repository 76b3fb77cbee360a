#pragma once

// A host for tests: machines are socket pairs, networks and disks are files of a temporary
// directory.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/network/resolver.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/host.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {

/// What the test sees of a machine; it may outlive it.
struct MachineScript {
  os::UniqueFd guest_end;
  bool started = false;
  bool was_killed = false;
  bool was_quit = false;
  bool is_gone = false;
  bool obeys_quit = true;
  vmm::MachineConfig config;
  std::vector<vmm::DiskDevice> exchanged;
  std::optional<Error> exchange_error;
  vmm::Machine::ExitCallback on_exit;
  std::string console;

  void exit(vmm::MachineExit::Cause cause, std::string description) {
    if (!std::exchange(is_gone, true) && on_exit) {
      auto callback = std::exchange(on_exit, nullptr);
      callback({.cause = cause, .status = {}, .description = std::move(description)});
    }
  }
};

class ScriptedMachine final : public vmm::Machine {
 public:
  ScriptedMachine(os::EventLoop& loop, std::shared_ptr<MachineScript> script)
      : loop_(loop), script_(std::move(script)) {}

  ScriptedMachine(const ScriptedMachine&) = delete;
  ScriptedMachine& operator=(const ScriptedMachine&) = delete;

  ~ScriptedMachine() override { script_->on_exit = nullptr; }

  Result<> start(ExitCallback on_exit) override {
    script_->started = true;
    script_->on_exit = std::move(on_exit);
    auto [host, guest] = *os::make_socket_pair();
    channel_ = std::move(host);
    script_->guest_end = std::move(guest);
    return {};
  }

  void on_exit(ExitCallback callback) override { script_->on_exit = std::move(callback); }

  void exchange_disks(std::vector<vmm::DiskDevice> disks, Callback callback) override {
    script_->exchanged = std::move(disks);
    callback(script_->exchange_error ? Result<>(*script_->exchange_error) : Result<>());
  }

  os::UniqueFd take_agent_channel() override { return std::move(channel_); }

  [[nodiscard]] std::string console_tail() const override { return script_->console; }

  [[nodiscard]] pid_t pid() const override { return script_->started ? 4242 : 0; }

  void pause(Callback callback) override { callback({}); }

  void resume(Callback callback) override { callback({}); }

  void save(Callback callback) override { callback({}); }

  [[nodiscard]] bool is_restored() const override {
    return script_->config.restore_from.has_value();
  }

  [[nodiscard]] std::string mac_address() const override {
    if (!script_->config.network) {
      return {};
    }
    return is_restored() ? "02:00:00:00:00:01" : script_->config.network->mac_address;
  }

  void query_accelerator(
      std::move_only_function<void(Result<vmm::AcceleratorStatus>)> callback) override {
    callback(vmm::AcceleratorStatus{});
  }

  void quit(std::chrono::milliseconds /*grace*/) override {
    script_->was_quit = true;
    later(vmm::MachineExit::Cause::Shutdown, "quit");
  }

  void kill() override {
    script_->was_killed = true;
    later(vmm::MachineExit::Cause::Killed, "was killed by signal 9 (Killed)");
  }

  [[nodiscard]] Timing timing() const override { return {}; }

 private:
  void later(vmm::MachineExit::Cause cause, std::string description) {
    loop_.post([script = script_, cause, description = std::move(description)] {
      script->exit(cause, description);
    });
  }

  os::EventLoop& loop_;
  std::shared_ptr<MachineScript> script_;  // shared with the test
  os::UniqueFd channel_;
};

class ScriptedHost final : public Host {
 public:
  std::shared_ptr<MachineScript> script = std::make_shared<MachineScript>();
  std::optional<Error> machine_error;
  std::optional<Error> network_error;
  bool has_template = false;
  bool shape_differs = false;   ///< of whatever comes after the last machine
  std::vector<Origin> origins;  ///< of the machines so far
  int templates_left = 0;
  std::vector<std::string> attached;
  std::vector<std::string> detached;

  Result<std::unique_ptr<vmm::Machine>> make_machine(os::EventLoop& loop, vmm::MachineConfig config,
                                                     Origin origin) override {
    if (machine_error) {
      return *machine_error;
    }
    origins.push_back(origin);
    if (has_template && origin == Origin::Template) {
      config.restore_from.emplace();
    }
    if (script->started) {
      script = std::make_shared<MachineScript>();
    }
    script->config = std::move(config);
    return std::make_unique<ScriptedMachine>(loop, script);
  }

  bool is_of_last_shape(vmm::MachineConfig& config) override {
    return !shape_differs && config.shares.empty() && !config.takes_data_disks;
  }

  void drop_template() override { has_template = false; }

  void leave_template(os::EventLoop& /*loop*/) override { ++templates_left; }

  Result<NetworkPlace> attach_network(const std::string& network,
                                      const std::string& owner) override {
    if (network_error) {
      return *network_error;
    }
    attached.push_back(owner);
    return NetworkPlace{.network = network,
                        .guest = {.mac_address = "02:00:0a:4f:00:02",
                                  .address = "10.79.0.2",
                                  .prefix = 16,
                                  .gateway = "10.79.0.1",
                                  .mtu = 1500},
                        .tap = *os::make_memfd("tap")};
  }

  void detach_network(const std::string& owner) override { detached.push_back(owner); }

  network::ResolverConfig resolver() override { return {}; }

  Result<os::UniqueFd> open_scratch(const std::string& /*path*/, std::uint64_t /*size_bytes*/,
                                    ScratchLife /*life*/) override {
    return os::make_memfd("scratch");
  }
};

}  // namespace bulkhead::runtime
