#include "bulkhead/cli/create.h"

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/environment.h"
#include "bulkhead/cli/mounts.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/netlink/address.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/image_process.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/os/mount.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/standby_pool.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::cli {
namespace {

constexpr std::uint64_t kCpuPeriodMicroseconds = 100'000;
constexpr double kMostCpus = 64;

Result<> pull(const config::Paths& paths, const CreateOptions& options) {
  os::SpawnOptions spawn{
      .arguments = {paths.program("bulkhead-image"), "pull", "--progress", options.pull_progress,
                    "--max-concurrent-downloads", std::to_string(options.layers_at_once)},
      // Standard output belongs to the container.
      .descriptors = {{.source = STDERR_FILENO, .target = STDOUT_FILENO},
                      {.source = STDERR_FILENO, .target = STDERR_FILENO}}};
  if (options.insecure_registry) {
    spawn.arguments.emplace_back("--insecure");
  }
  spawn.arguments.push_back(options.image);
  os::Process process = BH_TRY(os::spawn(spawn));
  const os::ExitStatus status = BH_TRY(process.wait());
  if (status.shell_code() != 0) {
    // It has said why.
    return fail(ErrorCode::Cancelled, "image {}: could not be pulled", options.image);
  }
  return {};
}

Result<store::Image> find_image(const config::Paths& paths, const CreateOptions& options) {
  auto images = BH_TRY(store::Store::open(paths));
  if (options.pull != "always") {
    if (auto image = BH_TRY(images.find(options.image))) {
      return *std::move(image);
    }
  }
  if (options.pull == "never") {
    return fail(ErrorCode::NotFound, "image {}: not found; bulkhead image pull fetches it",
                quote(options.image));
  }
  // What is no reference is not asked of any registry.
  BH_TRY(oci::Reference::parse(options.image));
  BH_TRY(pull(paths, options));
  auto image = BH_TRY(images.find(options.image));
  if (!image) {
    return fail(ErrorCode::NotFound, "image {}: gone again after the pull", quote(options.image));
  }
  return *std::move(image);
}

Result<> set_process(const CreateOptions& options, const oci::ImageConfig& config,
                     oci::Process& process) {
  const bool terminal = options.process.terminal == TerminalMode::Allocate;
  auto environment = BH_TRY(collect_environment(options.process.environment_files,
                                                options.process.environment, own_environment));
  BH_TRY(oci::apply_image(config,
                          {.entrypoint = options.entrypoint,
                           .arguments = options.arguments,
                           .environment = std::move(environment),
                           .working_directory = options.process.working_directory,
                           .user = options.process.user,
                           .terminal = terminal},
                          process));
  process.terminal = terminal;
  return {};
}

/// A part of a processor is a quota on the whole ones.
void set_quota(double cpus, oci::Resources& resources) {
  if (std::ceil(cpus) != cpus) {
    resources.cpu_period_microseconds = kCpuPeriodMicroseconds;
    resources.cpu_quota_microseconds =
        static_cast<std::int64_t>(cpus * static_cast<double>(kCpuPeriodMicroseconds));
  }
}

Result<> set_labels(const std::vector<std::string>& labels, runtime::ContainerRecord& record) {
  for (const std::string& label : labels) {
    const auto equals = label.find('=');
    if (label.empty() || equals == 0) {
      return fail(ErrorCode::Invalid, "--label {}: not K=V", quote(label));
    }
    record.labels[label.substr(0, equals)] =
        equals == std::string::npos ? std::string() : label.substr(equals + 1);
  }
  return {};
}

Result<> check_hostname(const std::string& name) {
  const bool good =
      name.size() <= 64 &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
          std::string::npos;
  if (!good) {
    return fail(ErrorCode::Invalid, "--hostname {}: only letters, digits, '.' and '-', at most 64",
                quote(name));
  }
  return {};
}

Result<runtime::ContainerOptions> container_options(const CreateOptions& options) {
  runtime::ContainerOptions container = BH_TRY(machine_options(options.machine));
  container.cold = options.cold;
  for (const std::string& server : options.dns_servers) {
    container.dns_servers.push_back(
        BH_TRY(netlink::IpPrefix::parse(server).context("--dns")).address_text());
  }
  container.stdin_once = options.process.input == InputMode::Keep;
  if (options.process.terminal == TerminalMode::Allocate) {
    if (const auto size = os::terminal_size(STDOUT_FILENO)) {
      container.terminal_columns = size->columns;
      container.terminal_rows = size->rows;
    }
  }
  return container;
}

}  // namespace

Result<runtime::ContainerOptions> machine_options(const MachineOptions& options) {
  runtime::ContainerOptions machine;
  machine.memory_bytes = BH_TRY(parse_size(options.memory).context("--memory"));
  if (machine.memory_bytes == 0) {
    return fail(ErrorCode::Invalid, "--memory {}: must be more than 0", options.memory);
  }
  if (options.cpus != 0 && !(options.cpus >= 0.01 && options.cpus <= kMostCpus)) {
    return fail(ErrorCode::Invalid, "--cpus {}: not from 0.01 to {}", options.cpus, kMostCpus);
  }
  machine.vcpus = static_cast<std::uint32_t>(std::ceil(options.cpus));
  machine.scratch_bytes = BH_TRY(parse_size(options.scratch_size).context("--scratch-size"));
  machine.network = options.network;
  return machine;
}

Result<NewContainer> create_container(const config::Paths& paths, runtime::ContainerStore& store,
                                      const CreateOptions& options, FirstStart first_start) {
  runtime::ContainerRecord record;
  record.options = BH_TRY(container_options(options));
  BH_TRY(record.options.settle());
  if (!options.name.empty()) {
    BH_TRY(validate_name("container name", options.name));
  }
  BH_TRY(check_hostname(options.hostname));
  BH_TRY(set_labels(options.labels, record));
  const std::string directory = BH_TRY(os::current_directory());
  auto mounts = BH_TRY(parse_mounts(options.mounts, directory));
  // Held until the record, which then protects the image, is written.
  const store::Image image = BH_TRY(find_image(paths, options));

  oci::Spec spec = oci::default_spec();
  if (!spec.process) {
    spec.process.emplace();
  }
  BH_TRY(set_process(options, image.config, *spec.process));
  add_mounts(std::move(mounts), spec);
  set_quota(options.machine.cpus, spec.linux_settings.resources);
  const runtime::StandbyPool pool(paths);
  std::optional<std::string> standby;
  if (first_start == FirstStart::Now && runtime::can_take_standby(record.options, spec)) {
    standby = pool.take(record.options);
  }
  record.id = standby ? *standby : BH_TRY(make_id());
  spec.hostname = options.hostname.empty() ? record.id.substr(0, 12) : options.hostname;
  spec.root = {.path = "rootfs", .readonly = options.read_only};
  record.name = options.name;
  record.image = image.record.reference;
  record.image_digest = image.record.manifest.text();
  record.image_id = image.record.config.text();
  record.root = image.root_path;
  record.command = spec.process->args;
  record.auto_remove = options.remove;
  record.stop_signal = image.config.stop_signal;
  auto created = store.create(std::move(record), spec);
  if (!created) {
    if (standby) {
      pool.forget(*standby);
    }
    return std::move(created.error());
  }
  return NewContainer{.record = *std::move(created), .has_standby = standby.has_value()};
}

Result<int> create(const config::Paths& paths, const CreateOptions& options) {
  auto store = BH_TRY(open_containers(paths));
  const auto container = BH_TRY(create_container(paths, store, options, FirstStart::Later));
  fmt::print("{}\n", container.record.id);
  return 0;
}

}  // namespace bulkhead::cli
