#include "bulkhead/vmm/qemu/qemu_machine.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <cpuid.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/jail/jail.h"
#include "bulkhead/jail/uid_range.h"
#include "bulkhead/json/value.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/command_line.h"
#include "bulkhead/vmm/qemu/installation.h"
#include "bulkhead/vmm/qemu/machine_exit.h"
#include "bulkhead/vmm/qemu/qmp_client.h"
#include "bulkhead/vmm/qemu/qmp_protocol.h"
#include "bulkhead/vmm/qemu/text_tail.h"

namespace bulkhead::vmm::qemu {
namespace {

constexpr std::size_t kConsoleTailBytes = 64U << 10U;
constexpr std::size_t kErrorTailBytes = 8U << 10U;
/// Above guest memory: program, libraries, translated code, thread stacks and arenas.
constexpr std::uint64_t kAddressSpaceOverhead = 4ULL << 30U;
constexpr std::uint64_t kAddressSpacePerVcpu = 128ULL << 20U;
constexpr std::uint64_t kThreads = 128;  ///< beside one for each processor

/// A stream of text from the machine, of which the end is kept.
class TailReader {
 public:
  TailReader(os::EventLoop& loop, std::size_t limit) : loop_(&loop), tail_(limit) {}

  TailReader(const TailReader&) = delete;
  TailReader& operator=(const TailReader&) = delete;

  ~TailReader() { close(); }

  Result<> start(os::UniqueFd fd) {
    BH_TRY(os::set_nonblocking(fd.get()));
    fd_ = std::move(fd);
    return loop_->watch(fd_.get(), EPOLLIN, [this](std::uint32_t) { read_some(); });
  }

  /// Takes what is left after the writer has ended.
  void finish() {
    // A pipe or socket buffer holds far less than this many reads.
    for (int reads = 0; fd_.is_open() && reads < 1024; ++reads) {
      if (!read_some()) {
        break;
      }
    }
    close();
  }

  [[nodiscard]] const TextTail& tail() const { return tail_; }

 private:
  bool read_some() {
    std::array<std::byte, 16384> buffer{};
    const auto size = os::try_read(fd_.get(), buffer);
    if (size && !*size) {
      return false;
    }
    if (!size || **size == 0) {
      close();
      return false;
    }
    tail_.append(as_text(std::span(buffer).first(**size)));
    return true;
  }

  void close() {
    if (fd_.is_open()) {
      loop_->unwatch(fd_.get());
      fd_.reset();
    }
  }

  os::EventLoop* loop_;
  os::UniqueFd fd_;
  TextTail tail_;
};

/// Our ends and the machine's of everything that connects them.
struct Wiring {
  std::pair<os::UniqueFd, os::UniqueFd> qmp;
  std::pair<os::UniqueFd, os::UniqueFd> agent;
  std::pair<os::UniqueFd, os::UniqueFd> console;
  os::Pipe errors;

  static Result<Wiring> create() {
    Wiring wiring;
    wiring.qmp = BH_TRY(os::make_socket_pair());
    wiring.agent = BH_TRY(os::make_socket_pair());
    wiring.console = BH_TRY(os::make_socket_pair());
    wiring.errors = BH_TRY(os::make_pipe());
    return wiring;
  }
};

Result<os::FileInfo> check_file(std::string_view what, const std::string& path) {
  const auto info = os::file_info(path);
  if (!info) {
    return info.error().code() == ErrorCode::NotFound
               ? fail(ErrorCode::NotFound, "{} {}: not found", what, quote(path))
               : Error(info.error()).context(what);
  }
  if (!info->is_regular()) {
    return fail(ErrorCode::Invalid, "{} {}: not a regular file", what, quote(path));
  }
  return *info;
}

/// One line that changes when the file does.
std::string identity(std::string_view what, const os::FileInfo& file) {
  return fmt::format("{} {}:{} {} {}\n", what, file.device, file.inode, file.size,
                     file.modified_nanoseconds());
}

/// What a guest with the host's processor sees of it. Source: Intel SDM, CPUID: leaf 1 without the
/// number of the processor that executes it.
std::string processor_identity() {
  std::string text = "cpuid";
  std::array<unsigned, 4> registers{};
  for (const unsigned leaf : {1U, 7U, 13U, 0x80000001U, 0x80000008U}) {
    if (__get_cpuid_count(leaf, 0, &registers[0], &registers[1], &registers[2], &registers[3]) !=
        0) {
      constexpr unsigned kProcessorNumber = 0xff000000;
      registers[1] &= leaf == 1 ? ~kProcessorNumber : ~0U;
      text += fmt::format(" {:x}:{:x},{:x},{:x},{:x}", leaf, registers[0], registers[1],
                          registers[2], registers[3]);
    }
  }
  return text + "\n";
}

MachinePlan plan_machine(const MachineConfig& config, const Platform& platform) {
  const HostAccelerator& host = platform.host;
  MachinePlan plan{.name = config.name,
                   .accelerator = config.accelerator.value_or(host.decision.accelerator),
                   .tsc_khz = host.tsc_khz,
                   .kvm_refuses_arch_capabilities = host.kvm_refuses_arch_capabilities,
                   .vcpus = config.vcpus,
                   .memory_bytes = config.memory_bytes,
                   .kernel_arguments = config.kernel_arguments,
                   .kernel_takes_timer_rate = config.is_own_kernel,
                   .disks = {},
                   .mac_address = std::nullopt,
                   .has_firmware = !platform.installation.firmware.empty(),
                   .is_paused = config.starts_paused,
                   .memory_use = config.restore_from ? MemoryUse::Restored
                                 : config.save_to    ? MemoryUse::Saved
                                                     : MemoryUse::Anonymous};
  for (const DiskDevice& disk : config.disks) {
    plan.disks.push_back({.serial = disk.serial, .access = disk.access});
  }
  plan.takes_data_disks = config.takes_data_disks;
  for (const DataDisk& disk : config.data_disks) {
    plan.data_disks.push_back(disk.access);
  }
  if (config.network) {
    plan.mac_address = config.network->mac_address;
  }
  return plan;
}

std::vector<jail::Share> jail_shares(const MachineConfig& config) {
  std::vector<jail::Share> shares;
  shares.reserve(config.shares.size());
  for (const Share& share : config.shares) {
    shares.push_back({.source = share.path,
                      .target = fmt::format("{}/{}", kJailShares, shares.size()),
                      .is_read_only = share.access == Access::ReadOnly,
                      .is_recursive = share.is_recursive});
  }
  return shares;
}

class QemuMachine final : public Machine {
 public:
  QemuMachine(os::EventLoop& loop, Platform platform, MachineConfig config)
      : loop_(&loop),
        platform_(std::move(platform)),
        config_(std::move(config)),
        is_restored_(config_.restore_from),
        mac_address_(config_.network ? config_.network->mac_address : std::string()),
        console_(loop, kConsoleTailBytes),
        errors_(loop, kErrorTailBytes) {}

  QemuMachine(const QemuMachine&) = delete;
  QemuMachine& operator=(const QemuMachine&) = delete;
  ~QemuMachine() override;

  Result<> start(ExitCallback on_exit) override;

  void on_exit(ExitCallback callback) override { on_exit_ = std::move(callback); }

  [[nodiscard]] bool is_restored() const override { return is_restored_; }

  [[nodiscard]] std::string mac_address() const override {
    return is_restored_ && !mac_address_.empty() ? std::string(kSavedMacAddress) : mac_address_;
  }

  os::UniqueFd take_agent_channel() override { return std::move(agent_); }

  [[nodiscard]] std::string console_tail() const override {
    return std::string(console_.tail().text());
  }

  [[nodiscard]] pid_t pid() const override { return process_ ? process_->pid() : 0; }

  void pause(Callback callback) override;
  void resume(Callback callback) override;
  void save(Callback callback) override;
  void exchange_disks(std::vector<DiskDevice> disks, Callback callback) override;
  void query_accelerator(
      std::move_only_function<void(Result<AcceleratorStatus>)> callback) override;
  void quit(std::chrono::milliseconds grace) override;
  void kill() override;

  [[nodiscard]] Timing timing() const override { return timing_; }

 private:
  [[nodiscard]] Result<jail::JailSpec> jail_spec(const MachinePlan& plan,
                                                 const Wiring& wiring) const;
  [[nodiscard]] Result<jail::Limits> limits() const;
  Result<> connect(Wiring wiring);
  /// Forwards a reply through the loop: its receiver may destroy this machine.
  template <class T>
  QmpClient::Reply<T> posted(std::move_only_function<void(Result<T>)> callback);

  [[nodiscard]] Error not_running() const {
    return fail(ErrorCode::FailedPrecondition, "machine {}: not running", config_.name);
  }

  void exchange_next(std::size_t index, Callback callback);
  void on_event(const QmpEvent& event);
  void on_migration(const json::Value& event);
  void answer_save(Result<> result);
  void on_process_exit(os::ExitStatus status);

  os::EventLoop* loop_;
  Platform platform_;
  MachineConfig config_;
  bool is_restored_;
  std::string mac_address_;  ///< that was asked for
  std::vector<MachinePlan::Disk> disks_;
  std::vector<DiskDevice> exchanged_;  ///< what they are exchanged for
  std::optional<jail::UidRange> ids_;
  std::optional<os::Process> process_;
  std::unique_ptr<QmpClient> qmp_;
  os::UniqueFd agent_;
  TailReader console_;
  TailReader errors_;
  ExitCallback on_exit_;
  Callback on_saved_;
  Timing timing_;
  os::EventLoop::TimerId kill_timer_ = 0;
  std::optional<std::string> shutdown_reason_;
  bool quit_was_asked_ = false;
  bool kill_was_asked_ = false;
};

QemuMachine::~QemuMachine() {
  loop_->cancel(kill_timer_);
  if (!process_) {
    return;
  }
  loop_->unwatch(process_->pidfd());
  std::ignore = process_->kill(SIGKILL);
  // A killed process ends in milliseconds; one in an uninterruptible wait is left to init.
  constexpr std::chrono::seconds kPatience{5};
  if (const auto is_over = os::wait_readable(process_->pidfd(), kPatience); is_over && *is_over) {
    std::ignore = process_->try_wait();
  }
}

Result<jail::Limits> QemuMachine::limits() const {
  constexpr std::uint64_t kOpenFiles = 256;
  constexpr std::uint64_t kOpenFilesOfGuest = 65536;
  jail::Limits limits{.open_files = config_.shares.empty() ? kOpenFiles : kOpenFilesOfGuest,
                      .processes = kThreads + config_.vcpus,
                      .file_size_bytes = 0,
                      .address_space_bytes = config_.memory_bytes + kAddressSpaceOverhead +
                                             (config_.vcpus * kAddressSpacePerVcpu)};
  const auto leave_room = [&limits](const auto& disk) -> Result<> {
    if (disk.access == Access::ReadWrite) {
      const os::FileInfo info = BH_TRY(os::file_info(disk.file.get()));
      limits.file_size_bytes = std::max(limits.file_size_bytes, info.size);
    }
    return {};
  };
  for (const DiskDevice& disk : config_.disks) {
    BH_TRY(leave_room(disk));
  }
  for (const DataDisk& disk : config_.data_disks) {
    BH_TRY(leave_room(disk));
  }
  if (!config_.shares.empty()) {
    limits.file_size_bytes = ~std::uint64_t{0};  // as far as the host's file systems let them grow
  }
  if (config_.save_to) {
    limits.file_size_bytes = std::max(limits.file_size_bytes, config_.memory_bytes);
  }
  return limits;
}

Result<jail::JailSpec> QemuMachine::jail_spec(const MachinePlan& plan, const Wiring& wiring) const {
  const jail::Limits ceilings = BH_TRY(limits());
  jail::JailSpec spec{
      .arguments = command_line(plan),
      .environment = Installation::environment(),
      .descriptors = {{.source = wiring.errors.write_end.get(), .target = 1},
                      {.source = wiring.errors.write_end.get(), .target = 2},
                      {.source = wiring.qmp.second.get(), .target = kQmpDescriptor},
                      {.source = wiring.agent.second.get(), .target = kAgentDescriptor},
                      {.source = wiring.console.second.get(), .target = kConsoleDescriptor}},
      .binds = platform_.installation.binds(),
      .shares = jail_shares(config_),
      .directories = {std::string(kJailShares)},
      .devices = {},
      .host_id = ids_->base(),
      .limits = ceilings};
  if (config_.network) {
    spec.descriptors.push_back({.source = config_.network->tap.get(), .target = kTapDescriptor});
  }
  int target = kFirstDiskDescriptor;
  for (const DiskDevice& disk : config_.disks) {
    spec.descriptors.push_back({.source = disk.file.get(), .target = target++});
  }
  target = kFirstDataDiskDescriptor;
  for (const DataDisk& disk : config_.data_disks) {
    spec.descriptors.push_back({.source = disk.file.get(), .target = target++});
  }
  if (config_.restore_from) {
    spec.descriptors.push_back(
        {.source = config_.restore_from->devices.get(), .target = kStateDescriptor});
  }
  if (const auto& state = config_.restore_from ? config_.restore_from : config_.save_to) {
    spec.descriptors.push_back({.source = state->memory.get(), .target = kMemoryDescriptor});
  }
  if (config_.restore_from || config_.save_to || !config_.shares.empty()) {
    spec.binds.push_back({.source = platform_.environment.libexec + "/bulkhead-qemu-preload.so",
                          .target = std::string(kJailPreload),
                          .is_executable = true});
    spec.environment.push_back(fmt::format("LD_PRELOAD={}", kJailPreload));
  }
  if (!config_.restore_from) {
    spec.binds.push_back(
        {.source = config_.kernel, .target = std::string(kJailKernel), .is_executable = false});
    spec.binds.push_back({.source = config_.initramfs,
                          .target = std::string(kJailInitramfs),
                          .is_executable = false});
  }
  if (plan.accelerator == Accelerator::Kvm) {
    // A node of its own: whatever the permissions of the host's are.
    const os::FileInfo kvm = BH_TRY(os::file_info("/dev/kvm"));
    spec.devices.push_back({.target = "/dev/kvm", .device = kvm.special});
  }
  return spec;
}

Result<> QemuMachine::start(ExitCallback on_exit) {
  if (process_) {
    return fail(ErrorCode::FailedPrecondition, "machine {}: started already", config_.name);
  }
  timing_.launched = std::chrono::steady_clock::now();
  ids_ = BH_TRY(jail::UidRange::lease(platform_.environment.run_directory));
  Wiring wiring = BH_TRY(Wiring::create());
  const MachinePlan planned = plan_machine(config_, platform_);
  const jail::JailSpec spec = BH_TRY(jail_spec(planned, wiring));
  process_ = BH_TRY(jail::launch(platform_.environment.libexec + "/bulkhead-jail", spec));
  timing_.executed = std::chrono::steady_clock::now();
  disks_ = planned.disks;
  // The machine has them now; what is not open here cannot leak from here.
  config_.disks.clear();
  config_.data_disks.clear();
  config_.network.reset();
  config_.restore_from.reset();
  if (auto connected = connect(std::move(wiring)); !connected) {
    std::ignore = process_->kill(SIGKILL);
    std::ignore = process_->wait();
    process_.reset();
    return connected;
  }
  on_exit_ = std::move(on_exit);
  return {};
}

Result<> QemuMachine::connect(Wiring wiring) {
  agent_ = std::move(wiring.agent.first);
  BH_TRY(os::set_nonblocking(agent_.get()));
  BH_TRY(console_.start(std::move(wiring.console.first)));
  BH_TRY(errors_.start(std::move(wiring.errors.read_end)));
  QmpClient::Callbacks callbacks;
  callbacks.greeted = [this] { timing_.greeted = std::chrono::steady_clock::now(); };
  callbacks.event = [this](const QmpEvent& event) { on_event(event); };
  callbacks.closed = [this](const Error& error) {
    if (error.code() == ErrorCode::Corrupt) {
      // A QEMU that does not speak QMP any more is not one to leave running.
      log::warning("machine {}: {}", config_.name, error.message());
      std::ignore = process_->kill(SIGKILL);
    }
  };
  qmp_ = BH_TRY(QmpClient::create(*loop_, std::move(wiring.qmp.first), std::move(callbacks)));
  if (is_restored_) {
    // It waits for QEMU's greeting. That it is done the guest itself will say.
    qmp_->restore(kStateDescriptor, [this](const Result<>& begun) {
      if (!begun) {
        log::warning("machine {}: {}", config_.name, begun.error().message());
        std::ignore = process_->kill(SIGKILL);
      }
    });
  }
  return loop_->on_exit(*process_, [this](os::ExitStatus status) { on_process_exit(status); });
}

template <class T>
QmpClient::Reply<T> QemuMachine::posted(std::move_only_function<void(Result<T>)> callback) {
  return [loop = loop_, callback = std::move(callback)](Result<T> result) mutable {
    loop->post([callback = std::move(callback), result = std::move(result)]() mutable {
      callback(std::move(result));
    });
  };
}

void QemuMachine::pause(Callback callback) {
  auto reply = posted<void>(std::move(callback));
  if (qmp_) {
    qmp_->stop(std::move(reply));
  } else {
    reply(not_running());
  }
}

void QemuMachine::resume(Callback callback) {
  auto reply = posted<void>(std::move(callback));
  if (qmp_) {
    qmp_->cont(std::move(reply));
  } else {
    reply(not_running());
  }
}

void QemuMachine::save(Callback callback) {
  auto reply = posted<void>(std::move(callback));
  if (!qmp_ || !config_.save_to || on_saved_) {
    reply(not_running());
    return;
  }
  on_saved_ = std::move(reply);
  // It stops the processors by itself. One that was stopped before would be restored stopped.
  qmp_->save(config_.save_to->devices.get(), [this](Result<> begun) {
    if (!begun) {
      answer_save(std::move(begun));
    }
  });
}

void QemuMachine::query_accelerator(
    std::move_only_function<void(Result<AcceleratorStatus>)> callback) {
  auto reply = posted<AcceleratorStatus>(std::move(callback));
  if (qmp_) {
    qmp_->query_kvm(std::move(reply));
  } else {
    reply(not_running());
  }
}

void QemuMachine::exchange_disks(std::vector<DiskDevice> disks, Callback callback) {
  auto reply = posted<void>(std::move(callback));
  if (!qmp_ || !exchanged_.empty()) {
    reply(not_running());
    return;
  }
  const bool are_alike = std::ranges::equal(
      disks, disks_, [](const DiskDevice& disk, const MachinePlan::Disk& planned) {
        return disk.serial == planned.serial && disk.access == planned.access;
      });
  if (!are_alike) {
    reply(fail(ErrorCode::Invalid, "machine {}: these are not its disks", config_.name));
    return;
  }
  exchanged_ = std::move(disks);
  exchange_next(0, std::move(reply));
}

/// One after the other: QEMU keeps one descriptor that was sent and not yet asked for.
void QemuMachine::exchange_next(std::size_t index, Callback callback) {
  if (index == exchanged_.size()) {
    callback({});
    return;
  }
  const DiskDevice& disk = exchanged_[index];
  qmp_->exchange_disk(index, disk.file.get(), disk.access,
                      [this, index, callback = std::move(callback)](Result<> exchanged) mutable {
                        exchanged_[index].file.reset();
                        if (!exchanged) {
                          callback(std::move(exchanged).context(disks_[index].serial));
                          return;
                        }
                        exchange_next(index + 1, std::move(callback));
                      });
}

void QemuMachine::quit(std::chrono::milliseconds grace) {
  if (!process_ || !qmp_ || quit_was_asked_) {
    return;
  }
  quit_was_asked_ = true;
  qmp_->quit([](const Result<>&) {});
  kill_timer_ = loop_->after(grace, [this] {
    kill_timer_ = 0;
    std::ignore = process_->kill(SIGKILL);
  });
}

void QemuMachine::kill() {
  kill_was_asked_ = true;
  if (process_) {
    std::ignore = process_->kill(SIGKILL);
  }
}

void QemuMachine::on_event(const QmpEvent& event) {
  if (event.name == "SHUTDOWN") {
    const json::Value* reason = event.data.find("reason");
    const std::string* text = reason == nullptr ? nullptr : reason->as_string();
    shutdown_reason_ = text == nullptr ? "unknown" : *text;
  } else if (event.name == "GUEST_PANICKED") {
    shutdown_reason_ = "guest-panic";
  } else if (event.name == "MIGRATION") {
    on_migration(event.data);
  }
}

void QemuMachine::on_migration(const json::Value& event) {
  const json::Value* status = event.find("status");
  const std::string* text = status == nullptr ? nullptr : status->as_string();
  if (text == nullptr || *text == "completed") {
    answer_save({});
  } else if (*text == "failed" || *text == "cancelled") {
    qmp_->query_save_error([this](const Result<std::string>& reason) {
      answer_save(fail(ErrorCode::Remote, "machine {}: saving its state: {}", config_.name,
                       quote(reason ? *reason : reason.error().message())));
    });
  }
}

void QemuMachine::answer_save(Result<> result) {
  if (auto saved = std::exchange(on_saved_, nullptr)) {
    saved(std::move(result));
  }
}

void QemuMachine::on_process_exit(os::ExitStatus status) {
  loop_->cancel(kill_timer_);
  qmp_->drain();
  console_.finish();
  errors_.finish();
  const MachineExit ending = explain_exit({.status = status,
                                           .shutdown_reason = shutdown_reason_,
                                           .quit_was_asked = quit_was_asked_,
                                           .kill_was_asked = kill_was_asked_,
                                           .console = console_.tail().text(),
                                           .errors = errors_.tail().text(),
                                           .memory_bytes = config_.memory_bytes});
  answer_save(fail(ErrorCode::Unavailable, "{}", ending.description));
  qmp_.reset();
  process_.reset();
  ids_.reset();
  // It may destroy this machine.
  ExitCallback on_exit = std::exchange(on_exit_, nullptr);
  on_exit(ending);
}

}  // namespace

Result<Platform> Platform::find(Environment environment) {
  Installation installation = BH_TRY(find_installation(environment.run_directory));
  const HostAccelerator host =
      host_accelerator(environment.run_directory, environment.libexec + "/bulkhead-kvm-probe");
  return Platform{
      .environment = std::move(environment), .installation = std::move(installation), .host = host};
}

Result<std::string> shape(const Platform& platform, const MachineConfig& config) {
  BH_TRY(check(config));
  MachinePlan plan = plan_machine(config, platform);
  plan.name = "template";
  plan.memory_use = MemoryUse::Saved;
  plan.data_disks.clear();
  // Measured at each boot of the host, and never twice the same.
  constexpr std::uint32_t kMegahertz = 1000;
  plan.tsc_khz = (plan.tsc_khz + kMegahertz / 2) / kMegahertz * kMegahertz;
  if (plan.mac_address) {
    plan.mac_address = std::string(kSavedMacAddress);
  }
  std::string text = fmt::format("{}\nqemu {}\n", fmt::join(command_line(plan), " "),
                                 platform.installation.version.text());
  text += identity("program", BH_TRY(check_file("qemu", platform.installation.program)));
  text += identity("kernel", BH_TRY(check_file("guest kernel", config.kernel)));
  text += identity("initramfs", BH_TRY(check_file("guest initramfs", config.initramfs)));
  for (const DiskDevice& disk : config.disks) {
    text += fmt::format("disk {}\n", BH_TRY(os::file_info(disk.file.get())).size);
  }
  if (plan.accelerator == Accelerator::Kvm) {
    text += processor_identity();
  }
  return text;
}

Result<std::unique_ptr<Machine>> create_machine(os::EventLoop& loop, Platform platform,
                                                MachineConfig config) {
  BH_TRY(check(config));
  if (!config.restore_from) {
    std::ignore = BH_TRY(check_file("guest kernel", config.kernel));
    std::ignore = BH_TRY(check_file("guest initramfs", config.initramfs));
  }
  return std::make_unique<QemuMachine>(loop, std::move(platform), std::move(config));
}

}  // namespace bulkhead::vmm::qemu
