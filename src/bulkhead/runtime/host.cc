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
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/machine.h"
#include "bulkhead/vmm/qemu/qemu_machine.h"

namespace bulkhead::runtime {
namespace {

class RealHost final : public Host {
 public:
  explicit RealHost(config::Paths paths) : paths_(std::move(paths)) {}

  Result<std::unique_ptr<vmm::Machine>> make_machine(os::EventLoop& loop,
                                                     vmm::MachineConfig config) override {
    if (config.kernel.empty()) {
      config.kernel = paths_.kernel();
    }
    if (config.initramfs.empty()) {
      config.initramfs = paths_.initramfs();
    }
    return vmm::qemu::create_machine(loop, {.run_directory = paths_.run, .libexec = paths_.libexec},
                                     std::move(config));
  }

  Result<NetworkPlace> attach_network(const std::string& network,
                                      const std::string& owner) override {
    network::Networks& networks = *BH_TRY(open_networks());
    network::Attachment attachment = BH_TRY(networks.attach(network, owner));
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

  Result<os::UniqueFd> open_scratch(const std::string& path, std::uint64_t size_bytes) override {
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
    if (auto formatted = ext4::format_scratch(disk.get(), size_bytes); !formatted) {
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
  Result<network::Networks*> open_networks() {
    if (!networks_) {
      networks_ = BH_TRY(network::Networks::open(paths_.run));
    }
    return &*networks_;
  }

  config::Paths paths_;
  std::optional<network::Networks> networks_;
};

}  // namespace

std::unique_ptr<Host> make_host(config::Paths paths) {
  return std::make_unique<RealHost>(std::move(paths));
}

}  // namespace bulkhead::runtime
