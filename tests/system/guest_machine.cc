#include "guest_machine.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <x86intrin.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/agent.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/socket.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::guest_test {
namespace {

std::string environment_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

std::string share(const std::string& name) {
  return environment_or("BULKHEAD_BUILD_DIR", ".") + "/share/bulkhead/" + name;
}

std::string kernel() { return environment_or("BULKHEAD_KERNEL", share("vmlinux")); }

std::string initramfs() { return environment_or("BULKHEAD_INITRAMFS", share("initramfs.cpio")); }

Result<> run_tool(std::vector<std::string> arguments) {
  const os::CommandOutput output = BH_TRY(os::run_command(std::move(arguments)));
  if (output.status.shell_code() != 0) {
    return fail(ErrorCode::Internal, "{}", output.err);
  }
  return {};
}

/// The guest sees the host's time stamp counter and cannot measure it.
std::uint64_t tsc_khz() {
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t first = __rdtsc();
  while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(20)) {
  }
  const std::uint64_t ticks = __rdtsc() - first;
  const auto passed = std::chrono::steady_clock::now() - begin;
  return ticks * 1'000'000 / static_cast<std::uint64_t>(passed.count());
}

void make_tree(const std::string& tree) {
  namespace fs = std::filesystem;
  for (const char* directory : {"bin", "etc", "tmp", "root", "proc", "sys", "dev", "home/user"}) {
    fs::create_directories(tree + "/" + directory);
  }
  fs::permissions(tree + "/tmp", fs::perms(01777));
  fs::permissions(tree + "/home/user", fs::perms(0700));
  fs::copy_file("/bin/busybox", tree + "/bin/busybox");
  for (const char* applet :
       {"sh",        "cat",      "echo",     "id",    "env",   "grep", "ls",   "sleep",
        "kill",      "mount",    "hostname", "stat",  "touch", "head", "tail", "ps",
        "stty",      "tty",      "wc",       "dd",    "true",  "ip",   "yes",  "mkdir",
        "sha256sum", "readlink", "test",     "umask", "chmod", "date", "rm",   "ping"}) {
    fs::create_symlink("busybox", tree + "/bin/" + applet);
  }
  std::ofstream(tree + "/etc/passwd") << "root:x:0:0:root:/root:/bin/sh\n"
                                         "user:x:1000:1000:user:/home/user:/bin/sh\n";
  std::ofstream(tree + "/etc/group") << "root:x:0:\nwheel:x:10:root\naudio:x:29:user\n"
                                        "user:x:1000:\n";
  std::ofstream(tree + "/bin/text") << "neither a script nor a program\n";
  fs::permissions(tree + "/bin/text", fs::perms(0755));
  std::ofstream(tree + "/bin/orphan") << "#!/no/such/interpreter\n";
  fs::permissions(tree + "/bin/orphan", fs::perms(0755));
  std::ofstream(tree + "/bin/circle") << "#!/bin/circle\n";
  fs::permissions(tree + "/bin/circle", fs::perms(0755));
  std::ofstream(tree + "/bin/plain") << "#!/bin/sh\n";
  fs::permissions(tree + "/bin/plain", fs::perms(0644));
  fs::permissions(tree + "/bin/busybox", fs::perms(0755));
}

agent_client::StartOutcome outcome_of(Result<agent_client::StartOutcome> answer) {
  if (!answer) {
    return {.failure = agent_client::StartFailure::Setup, .message = answer.error().message()};
  }
  return *std::move(answer);
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = "/tmp/bulkhead-guest-XXXXXX";
  path_ = ::mkdtemp(pattern.data());
}

TemporaryDirectory::~TemporaryDirectory() { std::filesystem::remove_all(path_); }

std::string TemporaryDirectory::path(std::string_view name) const {
  return path_ + "/" + std::string(name);
}

std::string missing_prerequisite() {
  for (const std::string& file :
       {kernel(), initramfs(), std::string("/bin/busybox"),
        std::string("/usr/bin/qemu-system-x86_64"), std::string("/sbin/mke2fs")}) {
    if (!os::path_exists(file)) {
      return file + " is missing";
    }
  }
  return {};
}

Result<> make_base_image(const TemporaryDirectory& directory, const std::string& image,
                         const std::function<void(const std::string& tree)>& adjust) {
  const std::string tree = directory.path("tree");
  make_tree(tree);
  if (adjust) {
    adjust(tree);
  }
  auto made = run_tool({"/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E",
                        "root_owner=0:0", "-d", tree, image, "64M"});
  std::filesystem::remove_all(tree);
  return made;
}

Result<> make_scratch_disk(const std::string& path) {
  return run_tool({"/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", path, "1G"});
}

Result<std::unique_ptr<GuestMachine>> GuestMachine::boot(const Options& options) {
  std::unique_ptr<GuestMachine> machine(new GuestMachine());
  machine->loop_ = BH_TRY(os::EventLoop::create());
  auto [ours, theirs] = BH_TRY(os::make_socket_pair());
  const os::UniqueFd null = BH_TRY(os::open_file("/dev/null", O_RDWR));
  std::vector<std::string> arguments = {
      "/usr/bin/qemu-system-x86_64",
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-no-reboot",
      "-M",
      "microvm,acpi=off,pcie=off,x-option-roms=off,isa-serial=off,rtc=on",
      "-accel",
      "tcg",
      "-cpu",
      "max,-erms,-fsrm,family=15,model=4,stepping=0",
      "-m",
      "256M",
      "-smp",
      std::to_string(options.vcpus),
      "-global",
      "virtio-mmio.force-legacy=false",
      "-kernel",
      kernel(),
      "-initrd",
      initramfs(),
      "-append",
      fmt::format("console=hvc0 quiet reboot=t panic=-1 mitigations=off nolapic_timer "
                  "noreplace-smp no_timer_check tsc=reliable tsc_early_khz={} "
                  "scsi_mod.scan=manual",
                  tsc_khz()),
      "-chardev",
      "file,id=console,path=" + machine->directory_.path("console"),
      "-chardev",
      "socket,id=agent,fd=3",
      "-device",
      "virtio-serial-device,max_ports=2",
      "-device",
      "virtconsole,nr=0,chardev=console",
      "-device",
      "virtserialport,nr=1,chardev=agent,name=org.bulkhead.agent.0",
      "-drive",
      fmt::format("if=none,id=base,format=raw,readonly=on,file={}", options.base),
      "-device",
      "virtio-blk-device,drive=base,serial=base",
      "-drive",
      fmt::format("if=none,id=scratch,format=raw,file={}", options.scratch),
      "-device",
      "virtio-blk-device,drive=scratch,serial=scratch"};
  arguments.insert(arguments.end(), options.extra.begin(), options.extra.end());
  machine->qemu_ = BH_TRY(
      os::spawn({.arguments = std::move(arguments),
                 .descriptors = {{.source = theirs.get(), .target = 3}, {.source = 2, .target = 2}},
                 .environment = std::nullopt,
                 .working_directory = {}}));
  theirs.reset();
  GuestMachine* raw = machine.get();
  BH_TRY(machine->loop_->on_exit(*machine->qemu_,
                                 [raw](os::ExitStatus status) { raw->ended_ = status; }));
  machine->agent_ = BH_TRY(agent_client::Agent::create(*machine->loop_, std::move(ours),
                                                       {.on_ready = nullptr, .on_lost = nullptr}));
  return machine;
}

GuestMachine::~GuestMachine() {
  agent_.reset();
  if (!ended_) {
    std::ignore = qemu_->kill(SIGKILL);
    std::ignore = qemu_->wait();
  }
}

std::string GuestMachine::console() const {
  return os::read_file(directory_.path("console")).value_or("(no console)");
}

bool GuestMachine::wait_until(const std::function<bool()>& condition,
                              std::chrono::seconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (ended_ || std::chrono::steady_clock::now() > deadline) {
      return condition();
    }
    std::ignore = loop_->run_once(std::chrono::milliseconds(50));
  }
  return true;
}

bool GuestMachine::wait_for_machine(std::chrono::seconds patience) {
  return wait_until([this] { return ended_.has_value(); }, patience);
}

agent::v1::Process GuestMachine::process(const std::vector<std::string>& arguments) {
  agent::v1::Process process;
  process.mutable_arguments()->Add(arguments.begin(), arguments.end());
  for (auto* set : {process.mutable_capabilities()->mutable_bounding(),
                    process.mutable_capabilities()->mutable_effective(),
                    process.mutable_capabilities()->mutable_permitted()}) {
    for (const char* name :
         {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
          "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
          "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}) {
      set->Add(name);
    }
  }
  return process;
}

agent::v1::StartRequest GuestMachine::plan(const std::vector<std::string>& arguments) {
  agent::v1::StartRequest plan;
  plan.set_container_id("test");
  plan.mutable_clock()->set_unix_nanoseconds(wall_now().time_since_epoch().count());
  plan.set_entropy(std::string(256, 'e'));
  plan.mutable_root()->set_base_serial("base");
  plan.mutable_root()->set_scratch_serial("scratch");
  plan.set_hostname("brave-otter");
  *plan.mutable_process() = process(arguments);
  for (const char* path : {"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys",
                           "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                           "/proc/sched_debug", "/proc/scsi", "/sys/firmware"}) {
    plan.add_masked_paths(path);
  }
  for (const char* path :
       {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}) {
    plan.add_readonly_paths(path);
  }
  return plan;
}

void GuestMachine::open_streams(const std::shared_ptr<HostProcess>& host,
                                agent::v1::Process& process, bool with_stdin) {
  const auto session = agent_->session().lock();
  const auto open_output = [&](std::string HostProcess::* text, bool HostProcess::* ended) {
    const mux::StreamId id = agent_->next_stream();
    std::ignore =
        session->open(id, {.on_data =
                               [this, host, text, id](Bytes bytes) {
                                 (*host).*text += as_text(bytes);
                                 if (stalled) {
                                   withheld.emplace_back(id, bytes.size());
                                 } else {
                                   agent_->session().lock()->consume(id, bytes.size());
                                 }
                               },
                           .on_end = [host, ended] { (*host).*ended = true; },
                           .on_writable = nullptr,
                           .on_reset = [host, ended](const Error&) { (*host).*ended = true; }});
    session->end(id);
    return id;
  };
  process.set_stdout_stream(open_output(&HostProcess::out, &HostProcess::out_ended));
  if (process.terminal()) {
    host->err_ended = true;
  } else {
    process.set_stderr_stream(open_output(&HostProcess::err, &HostProcess::err_ended));
  }
  if (with_stdin) {
    host->stdin_stream = agent_->next_stream();
    process.set_stdin_stream(host->stdin_stream);
    std::ignore = session->open(
        host->stdin_stream,
        {.on_data = nullptr,
         .on_end = nullptr,
         .on_writable = [this, weak = std::weak_ptr(host)] { pump_input(weak.lock()); },
         .on_reset = [host](const Error&) { host->stdin_gone = true; }});
    pump_input(host);
  }
}

void GuestMachine::pump_input(const std::shared_ptr<HostProcess>& host) {
  const auto session = agent_->session().lock();
  while (!host->to_write.empty() && !host->stdin_gone) {
    const auto written = session->write(host->stdin_stream, as_bytes(host->to_write));
    if (!written) {
      return;
    }
    if (*written == 0) {
      session->want_write(host->stdin_stream);
      return;
    }
    host->to_write.erase(0, *written);
  }
  if (host->close_stdin) {
    session->end(host->stdin_stream);
  }
}

void GuestMachine::send(const std::shared_ptr<HostProcess>& host, std::optional<std::string> more) {
  if (more) {
    host->to_write += *more;
  } else {
    host->close_stdin = true;
  }
  pump_input(host);
}

void GuestMachine::wait_for_end(const std::shared_ptr<HostProcess>& host) {
  agent_->wait(host->id, [host](Result<agent_client::ProcessEnd> end) {
    if (end) {
      host->end = *end;
    }
  });
}

std::shared_ptr<HostProcess> GuestMachine::start(agent::v1::StartRequest plan,
                                                 const std::optional<std::string>& input) {
  const auto host = std::make_shared<HostProcess>();
  host->to_write = input.value_or("");
  host->close_stdin = input.has_value();
  open_streams(host, *plan.mutable_process(), input.has_value());
  bool answered = false;
  agent_->start(plan, [host, &answered](Result<agent_client::StartOutcome> outcome) {
    answered = true;
    host->outcome = outcome_of(std::move(outcome));
  });
  if (!wait_until([&] { return answered; })) {
    host->outcome = {.failure = agent_client::StartFailure::Setup, .message = "no answer"};
  }
  if (host->outcome.failure == agent_client::StartFailure::None) {
    wait_for_end(host);
  }
  return host;
}

std::shared_ptr<HostProcess> GuestMachine::exec(agent::v1::Process process,
                                                const std::optional<std::string>& input) {
  const auto host = std::make_shared<HostProcess>();
  host->id = fmt::format("exec-{}", ++last_exec_);
  host->to_write = input.value_or("");
  host->close_stdin = input.has_value() && !process.terminal();
  agent::v1::ExecRequest request;
  request.set_exec_id(host->id);
  open_streams(host, process, input.has_value());
  *request.mutable_process() = process;
  bool answered = false;
  agent_->exec(request, [host, &answered](Result<agent_client::StartOutcome> outcome) {
    answered = true;
    host->outcome = outcome_of(std::move(outcome));
  });
  if (!wait_until([&] { return answered; })) {
    host->outcome = {.failure = agent_client::StartFailure::Setup, .message = "no answer"};
  }
  if (host->outcome.failure == agent_client::StartFailure::None) {
    wait_for_end(host);
  }
  return host;
}

void GuestMachine::finish(HostProcess& process) {
  wait_until([&] { return process.end.has_value(); });
}

std::shared_ptr<HostProcess> GuestMachine::run(agent::v1::Process process,
                                               const std::optional<std::string>& input) {
  auto host = exec(std::move(process), input);
  if (host->outcome.failure == agent_client::StartFailure::None) {
    finish(*host);
  }
  return host;
}

std::string GuestMachine::shell(const std::string& command) {
  const auto host = run(process({"sh", "-c", command}));
  return host->outcome.message + host->out + host->err;
}

Result<> GuestMachine::signal(const std::string& id, int signal,
                              agent_client::Agent::SignalScope scope) {
  std::optional<Result<>> result;
  agent_->signal(id, static_cast<std::uint32_t>(signal), scope,
                 [&](Result<> answer) { result = std::move(answer); });
  wait_until([&] { return result.has_value(); });
  return result ? *result : Result<>(fail(ErrorCode::Timeout, "no answer"));
}

Result<> GuestMachine::resize(const std::string& id, std::uint32_t columns, std::uint32_t rows) {
  std::optional<Result<>> result;
  agent_->resize(id, columns, rows, [&](Result<> answer) { result = std::move(answer); });
  wait_until([&] { return result.has_value(); });
  return result ? *result : Result<>(fail(ErrorCode::Timeout, "no answer"));
}

Result<std::vector<std::uint32_t>> GuestMachine::processes() {
  std::optional<Result<std::vector<std::uint32_t>>> result;
  agent_->processes([&](Result<std::vector<std::uint32_t>> answer) { result = std::move(answer); });
  wait_until([&] { return result.has_value(); });
  if (!result) {
    return fail(ErrorCode::Timeout, "no answer");
  }
  return *std::move(result);
}

Result<agent_client::Statistics> GuestMachine::statistics() {
  std::optional<Result<agent_client::Statistics>> result;
  agent_->statistics([&](Result<agent_client::Statistics> answer) { result = std::move(answer); });
  wait_until([&] { return result.has_value(); });
  return result ? *std::move(result)
                : Result<agent_client::Statistics>(fail(ErrorCode::Timeout, "no answer"));
}

Result<> GuestMachine::update(const agent::v1::Resources& limits) {
  std::optional<Result<>> result;
  agent_->update(limits, [&](Result<> answer) { result = std::move(answer); });
  wait_until([&] { return result.has_value(); });
  return result ? *result : Result<>(fail(ErrorCode::Timeout, "no answer"));
}

Result<> GuestMachine::shut_down() {
  std::optional<Result<>> result;
  agent_->shutdown([&](Result<> answer) { result = std::move(answer); });
  wait_until([&] { return result.has_value(); });
  if (!result) {
    return fail(ErrorCode::Timeout, "no answer");
  }
  if (*result && !wait_for_machine(std::chrono::seconds(10))) {
    return fail(ErrorCode::Timeout, "the machine goes on");
  }
  return *result;
}

}  // namespace bulkhead::guest_test
