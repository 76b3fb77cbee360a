#include "bulkhead/runtime/host.h"

#include <fcntl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/network/networks.h"
#include "bulkhead/network/resolver.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/plan.h"
#include "bulkhead/runtime/template_maker.h"
#include "bulkhead/runtime/templates.h"
#include "bulkhead/store/content.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/qemu_machine.h"

namespace bulkhead::runtime {
namespace {

class RealHost final : public Host {
 public:
  explicit RealHost(config::Paths paths) : paths_(std::move(paths)), templates_(paths_) {}

  Result<std::unique_ptr<vmm::Machine>> make_machine(os::EventLoop& loop, vmm::MachineConfig config,
                                                     Origin origin) override {
    const bool has_own_kernel = config.kernel.empty() && config.initramfs.empty();
    if (config.kernel.empty()) {
      config.kernel = paths_.kernel();
    }
    if (config.initramfs.empty()) {
      config.initramfs = paths_.initramfs();
    }
    auto platform =
        BH_TRY(vmm::qemu::Platform::find({.run_directory = paths_.run, .libexec = paths_.libexec}));
    if (origin == Origin::Template && has_own_kernel) {
      BH_TRY(use_template(platform, config));
    }
    return vmm::qemu::create_machine(loop, std::move(platform), std::move(config));
  }

  bool is_of_last_shape(vmm::MachineConfig& config) override {
    const auto platform =
        vmm::qemu::Platform::find({.run_directory = paths_.run, .libexec = paths_.libexec});
    if (!platform || !shape_ || !config.shares.empty() || !config.kernel.empty()) {
      return false;
    }
    config.kernel = paths_.kernel();
    config.initramfs = paths_.initramfs();
    const auto wanted = shape_of(*platform, config);
    config.kernel.clear();
    config.initramfs.clear();
    return wanted && wanted->text == shape_->text;
  }

  void drop_template() override {
    if (shape_) {
      templates_.drop(*shape_);
      is_template_missing_ = true;
    }
  }

  void leave_template(os::EventLoop& loop) override {
    if (!std::exchange(is_template_missing_, false) || maker_) {
      return;
    }
    auto begun = make_template_beside(paths_, request_);
    if (!begun) {
      log::warning("template: {}", begun.error().message());
      return;
    }
    maker_ = *std::move(begun);
    // It says itself what went wrong; if it outlives this process, somebody else reaps it.
    if (const auto reaped = loop.on_exit(*maker_, [](const os::ExitStatus&) {}); !reaped) {
      log::warning("template: {}", reaped.error().message());
    }
  }

  Result<NetworkPlace> attach_network(const std::string& network,
                                      const std::string& owner) override {
    network::Networks& networks = *BH_TRY(open_networks());
    network::Attachment attachment = BH_TRY(networks.attach(network, owner));
    // The kernel takes tens of milliseconds to remove a TAP, which whoever closes the last
    // descriptor waits for: that shall not be QEMU, but this process at its very end.
    tap_ = BH_TRY(os::duplicate(attachment.tap.get()));
    return NetworkPlace{.network = std::move(attachment.network),
                        .guest = {.mac_address = std::move(attachment.mac_address),
                                  .address = std::move(attachment.address),
                                  .prefix = attachment.prefix_length,
                                  .gateway = std::move(attachment.gateway),
                                  .mtu = attachment.mtu},
                        .tap = std::move(attachment.tap)};
  }

  void detach_network(const std::string& owner) override {
    const auto networks = open_networks();
    const Result<> detached = networks ? (*networks)->detach(owner) : Result<>(networks.error());
    if (!detached) {
      log::warning("network of {}: {}", owner, detached.error().message());
    }
  }

  network::ResolverConfig resolver() override { return network::host_resolver_config(); }

  Result<os::UniqueFd> open_scratch(const std::string& path, std::uint64_t size_bytes,
                                    ScratchLife life) override {
    auto existing = os::open_file(path, O_RDWR | O_NOFOLLOW);
    if (existing) {
      if (!BH_TRY(os::file_info(existing->get())).is_regular()) {
        return fail(ErrorCode::Invalid, "scratch disk {}: not a regular file", path);
      }
      return existing;
    }
    if (existing.error().code() != ErrorCode::NotFound) {
      return std::move(existing.error()).context("scratch disk");
    }
    // Under another name until it is whole: a shim that is killed meanwhile leaves no half disk.
    const std::string unfinished = path + ".new";
    os::UniqueFd disk =
        BH_TRY(os::open_file(unfinished, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600)
                   .context("scratch disk"));
    Result<> made;
    if (auto formatted = life == ScratchLife::Kept
                             ? ext4::format_scratch(disk.get(), size_bytes)
                             : ext4::format_empty(disk.get(), {.size_bytes = size_bytes});
        !formatted) {
      made = std::move(formatted.error());
    } else {
      made = os::rename_path(unfinished, path);
    }
    if (!made) {
      std::ignore = os::remove_file(unfinished);
      return std::move(made.error()).context("scratch disk");
    }
    return disk;
  }

 private:
  /// Where machines of that shape can be saved: restores it from its template, or notes that there
  /// is none.
  Result<> use_template(const vmm::qemu::Platform& platform, vmm::MachineConfig& config) {
    request_ = {.vcpus = config.vcpus,
                .memory_bytes = config.memory_bytes,
                .has_network = config.network.has_value(),
                .takes_data_disks = config.takes_data_disks};
    for (const vmm::DiskDevice& disk : config.disks) {
      const std::uint64_t size = BH_TRY(os::file_info(disk.file.get())).size;
      (disk.serial == kBaseSerial ? request_.base_bytes : request_.scratch_bytes) = size;
    }
    if (config.disks.size() != 2 || request_.base_bytes % store::kRootFileUnit != 0) {
      return {};
    }
    shape_ = BH_TRY(shape_of(platform, config));
    config.restore_from = templates_.find(*shape_);
    is_template_missing_ = !config.restore_from;
    return {};
  }

  Result<network::Networks*> open_networks() {
    if (!networks_) {
      networks_ = BH_TRY(network::Networks::open(paths_.run));
    }
    return &*networks_;
  }

  config::Paths paths_;
  Templates templates_;
  os::UniqueFd tap_;
  std::optional<TemplateShape> shape_;  ///< of the last machine
  TemplateRequest request_;             ///< of a template for it
  bool is_template_missing_ = false;
  std::optional<os::Process> maker_;  ///< of the last template that was missing
  std::optional<network::Networks> networks_;
};

}  // namespace

std::unique_ptr<Host> make_host(config::Paths paths) {
  return std::make_unique<RealHost>(std::move(paths));
}

}  // namespace bulkhead::runtime
