#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/config/settings.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/templates.h"
#include "bulkhead/store/store.h"
#include "bulkhead/vmm/accelerator.h"
#include "bulkhead/vmm/qemu/installation.h"

namespace bulkhead::cli {
namespace {

std::string text_of(const json::Value& value) {
  const std::string* text = value.as_string();
  return text != nullptr ? *text : json::write(value);
}

json::Value accelerator_info(const config::Paths& paths) {
  const auto host = vmm::host_accelerator(paths.run, paths.program("bulkhead-kvm-probe"));
  json::Value info;
  info.set("in_use", std::string(vmm::to_string(host.decision.accelerator)));
  info.set("reason", host.decision.reason);
  info.set("isolation",
           host.decision.accelerator == vmm::Accelerator::Kvm
               ? "hardware virtualization, and QEMU in a jail"
               : "an emulator in a jail: without KVM there is no hardware wall around a guest");
  return info;
}

json::Value qemu_info(const config::Paths& paths) {
  json::Value info;
  const auto installation = vmm::qemu::find_installation(paths.run);
  if (installation) {
    info.set("program", installation->program);
    info.set("version", installation->version.text());
  } else {
    info.set("error", installation.error().message());
  }
  return info;
}

/// The kernel's own version stands in its image: "Linux version 6.1.170 (…".
std::string kernel_version(const std::string& path) {
  constexpr std::string_view kMark = "Linux version ";
  constexpr std::size_t kLongest = 128;
  const auto image = os::read_file(path, 256U << 20U);
  if (!image) {
    return image.error().message();
  }
  for (std::size_t at = image->find(kMark); at != std::string::npos;
       at = image->find(kMark, at + 1)) {
    const std::string_view rest = std::string_view(*image).substr(at + kMark.size(), kLongest);
    const std::string_view version = rest.substr(0, rest.find(' '));
    if (!version.empty() && version.front() >= '0' && version.front() <= '9') {
      return std::string(version);
    }
  }
  return "unknown";
}

json::Value kernel_info(const config::Paths& paths) {
  json::Value info;
  info.set("path", paths.kernel());
  info.set("version", kernel_version(paths.kernel()));
  return info;
}

json::Value settings_info() {
  json::Value info;
  info.set("file", config::Settings::path());
  const auto settings = config::Settings::load();
  if (settings) {
    info.set("template_budget", settings->template_budget_bytes);
    info.set("standby_machines", settings->standby_machines);
  } else {
    info.set("error", settings.error().message());
  }
  return info;
}

json::Value directory_info(const config::Paths& paths) {
  json::Value info;
  info.set("state", paths.state);
  info.set("run", paths.run);
  info.set("libexec", paths.libexec);
  info.set("share", paths.share);
  return info;
}

Result<json::Value> network_info(const config::Paths& paths) {
  json::Array array;
  auto networks = BH_TRY(network::Networks::open(paths.run));
  for (const auto& network : BH_TRY(networks.list())) {
    json::Value info;
    info.set("name", network.name);
    info.set("bridge", network.bridge);
    info.set("subnet", network.subnet);
    info.set("gateway", network.gateway);
    info.set("mtu", network.mtu);
    info.set("leases", network.leases);
    array.push_back(std::move(info));
  }
  return json::Value(std::move(array));
}

Result<json::Value> container_info(const config::Paths& paths) {
  const auto store = BH_TRY(open_containers(paths));
  std::size_t running = 0;
  std::size_t all = 0;
  for (const auto& container : BH_TRY(store.list())) {
    running += container.state.status == runtime::ContainerStatus::Running ? 1 : 0;
    ++all;
  }
  json::Value info;
  info.set("running", running);
  info.set("all", all);
  return info;
}

void print_lines(const json::Value& value, std::size_t indent) {
  const json::Object* object = value.as_object();
  if (object == nullptr) {
    return;
  }
  for (const auto& [name, member] : *object) {
    const std::string label = fmt::format("{:{}}{}:", "", indent, name);
    const json::Array* array = member.as_array();
    if (member.is_object()) {
      fmt::print("{}\n", label);
      print_lines(member, indent + 2);
    } else if (array != nullptr) {
      fmt::print("{}{}\n", label, array->empty() ? " none yet" : "");
      for (const json::Value& element : *array) {
        print_lines(element, indent + 2);
      }
    } else {
      fmt::print("{} {}\n", label, text_of(member));
    }
  }
}

/// Bytes that files of a container's directory take: its scratch disk, log and records.
std::uint64_t allocated_bytes(const std::string& directory) {
  std::uint64_t bytes = 0;
  for (const std::string& name :
       os::list_directory(directory).value_or(std::vector<std::string>())) {
    // What is no regular file (a FIFO) is not waited for, and what has gone takes nothing.
    const auto fd = os::open_file(directory + "/" + name, O_RDONLY | O_NONBLOCK);
    const auto space = fd ? os::file_space(fd->get()) : Result<os::FileSpace>(fd.error());
    bytes += space ? space->allocated_bytes : 0;
  }
  return bytes;
}

struct DiskUse {
  std::string type;
  std::uint64_t total = 0;
  std::uint64_t active = 0;
  std::uint64_t bytes = 0;
  std::uint64_t reclaimable_bytes = 0;
};

Result<DiskUse> container_use(const config::Paths& paths) {
  const auto store = BH_TRY(open_containers(paths));
  DiskUse use{.type = "Containers"};
  for (const auto& container : BH_TRY(store.list())) {
    const std::uint64_t bytes = allocated_bytes(paths.container_state(container.record.id));
    const bool is_running = container.state.status == runtime::ContainerStatus::Running;
    ++use.total;
    use.active += is_running ? 1 : 0;
    use.bytes += bytes;
    use.reclaimable_bytes += is_running ? 0 : bytes;
  }
  return use;
}

Result<DiskUse> image_use(const config::Paths& paths) {
  auto store = BH_TRY(store::Store::open(paths));
  const store::Usage usage = BH_TRY(store.usage());
  return DiskUse{.type = "Images",
                 .total = usage.images,
                 .active = usage.active_images,
                 .bytes = usage.bytes,
                 .reclaimable_bytes = usage.reclaimable_bytes};
}

Result<DiskUse> template_use(const config::Paths& paths) {
  DiskUse use{.type = "Templates"};
  for (const runtime::TemplateRecord& one : BH_TRY(runtime::Templates(paths).list())) {
    ++use.total;
    use.bytes += one.bytes;
  }
  // The next container of a shape makes its template again.
  use.reclaimable_bytes = use.bytes;
  return use;
}

std::string disk_json(const std::vector<DiskUse>& uses) {
  json::Array array;
  for (const DiskUse& use : uses) {
    json::Value value;
    value.set("type", use.type);
    value.set("total", use.total);
    value.set("active", use.active);
    value.set("size", use.bytes);
    value.set("reclaimable", use.reclaimable_bytes);
    array.push_back(std::move(value));
  }
  return json::write(array, json::Style::Pretty);
}

std::string disk_table(const std::vector<DiskUse>& uses) {
  Table table({"TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"});
  for (const DiskUse& use : uses) {
    table.add({use.type, std::to_string(use.total), std::to_string(use.active),
               format_size(use.bytes), format_size(use.reclaimable_bytes)});
  }
  return table.text();
}

}  // namespace

Result<int> system_df(const config::Paths& paths, OutputFormat format) {
  DiskUse images = BH_TRY(image_use(paths));
  DiskUse containers = BH_TRY(container_use(paths));
  DiskUse templates = BH_TRY(template_use(paths));
  const std::vector<DiskUse> uses = {std::move(images), std::move(containers),
                                     std::move(templates)};
  fmt::print("{}", format == OutputFormat::Json ? disk_json(uses) : disk_table(uses));
  return 0;
}

Result<int> system_info(const config::Paths& paths, OutputFormat format) {
  json::Value info;
  info.set("version", BULKHEAD_VERSION);
  info.set("containers", BH_TRY(container_info(paths)));
  info.set("accelerator", accelerator_info(paths));
  info.set("qemu", qemu_info(paths));
  info.set("kernel", kernel_info(paths));
  info.set("settings", settings_info());
  info.set("directories", directory_info(paths));
  info.set("networks", BH_TRY(network_info(paths)));
  if (format == OutputFormat::Json) {
    fmt::print("{}", json::write(info, json::Style::Pretty));
  } else {
    print_lines(info, 0);
  }
  return 0;
}

}  // namespace bulkhead::cli
