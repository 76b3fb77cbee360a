#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/vmm/accelerator.h"

namespace bulkhead::vmm {

/// The least memory with which the guest kernel and its first processes run.
inline constexpr std::uint64_t kLeastMemoryBytes = 64U << 20U;
inline constexpr std::uint32_t kMostVcpus = 64;
/// Of disks, by the device slots a machine has.
inline constexpr std::size_t kMostDisks = 3;
/// Of data disks, which need none: as many as the guest names with one letter.
inline constexpr std::size_t kMostDataDisks = 26;

/// Of shares: what a jail's root has room for, and more than anybody names.
inline constexpr std::size_t kMostShares = 256;

/// The guest mounts the shares' device by this tag. Each share is an entry of its root directory,
/// named by its number: "0", "1", …
inline constexpr std::string_view kSharesTag = "shares";

/// The guest finds the agent's port by this name (/sys/class/virtio-ports/*/name).
inline constexpr std::string_view kAgentPortName = "org.bulkhead.agent.0";

enum class Access : std::uint8_t { ReadOnly, ReadWrite };

/// A raw disk image. Its format is never detected.
struct DiskDevice {
  /// The guest finds it by this: 1 to 20 of [A-Za-z0-9_-], /sys/block/*/serial.
  std::string serial;
  /// For ReadOnly it must have been opened O_RDONLY: the machine then holds nothing to write with.
  os::UniqueFd file;
  Access access = Access::ReadOnly;
};

/// A directory or file of the host that the guest may use, with owners as they are there.
struct Share {
  std::string path;  ///< absolute
  Access access = Access::ReadOnly;
  bool is_recursive = true;  ///< with what is mounted below it
};

/// A raw disk image besides those of the machine itself. The guest finds it by its number: it is
/// that target of the only SCSI host, which the guest must ask for (scan=manual).
struct DataDisk {
  os::UniqueFd file;  ///< opened as DiskDevice::file is
  Access access = Access::ReadOnly;
};

struct NetworkDevice {
  os::UniqueFd tap;
  std::string mac_address;
};

/// The two files of a saved machine: guest memory, of the machine's size and sparse, and the state
/// of everything else.
struct SavedState {
  os::UniqueFd memory;
  os::UniqueFd devices;
};

struct MachineConfig {
  /// For people (process title, messages): the container's id.
  std::string name;
  std::uint32_t vcpus = 1;
  std::uint64_t memory_bytes = 1U << 30U;  ///< a multiple of 1 MiB
  std::string kernel;                      ///< an ELF vmlinux with PVH entry
  std::string initramfs;
  /// It is the kernel built with this program (kernel/build). Another one boots too, only slower:
  /// it is not told what it would not understand.
  bool is_own_kernel = true;
  /// Appended to the kernel's command line; the machine adds what its devices need.
  std::vector<std::string> kernel_arguments;
  std::vector<DiskDevice> disks;
  std::optional<NetworkDevice> network;
  std::vector<Share> shares;
  std::vector<DataDisk> data_disks;
  /// The machine could have data disks. Those with and without are of two shapes; which ones they
  /// have does not matter.
  bool takes_data_disks = false;
  /// Nothing: what host_accelerator() says.
  std::optional<Accelerator> accelerator;
  /// The processors wait for resume().
  bool starts_paused = false;
  /// The machine will be saved there: both files opened for reading and writing, `memory` truncated
  /// to `memory_bytes`. It is the guest's memory from the boot on.
  std::optional<SavedState> save_to;
  /// Nothing is booted: the machine goes on where one of the same shape (qemu::shape) was saved,
  /// with disks, TAP and sockets of its own. Both files opened read-only: memory is mapped private
  /// and the guest's writes stay with the machine.
  std::optional<SavedState> restore_from;
};

/// How a machine ended.
struct MachineExit {
  enum class Cause : std::uint8_t {
    Shutdown,    ///< the guest powered off or rebooted, or quit() was asked
    GuestPanic,  ///< the guest's console says that its kernel panicked
    Killed,      ///< the machine's process was killed by a signal
    Failed,      ///< the machine's process gave up, or never came up
  };

  Cause cause = Cause::Failed;
  os::ExitStatus status;  ///< of the machine's process
  /// One line for people, with the last words of the guest or of the machine.
  std::string description;
};

/// What a running machine says of its accelerator.
struct AcceleratorStatus {
  bool kvm_is_enabled = false;
  bool kvm_is_present = false;
};

/// One virtual machine. Everything runs and calls back on the event loop it was made with; no
/// callback comes from within the call that asked for it.
/// Destroying it kills the machine without a word.
class Machine {
 public:
  using ExitCallback = std::move_only_function<void(const MachineExit&)>;
  using Callback = std::move_only_function<void(Result<>)>;

  Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  virtual ~Machine() = default;

  /// Starts the jailed process and returns; the guest boots on its own. `on_exit` is called once,
  /// however the machine ends, and may destroy it.
  /// Errors: as jail::launch; nothing is left then, and `on_exit` is never called.
  virtual Result<> start(ExitCallback on_exit) = 0;

  /// Somebody else is told of the end. After start().
  virtual void on_exit(ExitCallback callback) = 0;

  /// It goes on from a saved one.
  [[nodiscard]] virtual bool is_restored() const = 0;

  /// By which the guest finds its network device; empty without one.
  [[nodiscard]] virtual std::string mac_address() const = 0;

  /// The host's end of the agent's port: a non-blocking stream socket, usable from start() on,
  /// before the guest has opened its end. What is written before that waits. Taken once.
  virtual os::UniqueFd take_agent_channel() = 0;

  /// The last 64 KiB that the guest's kernel said. A stranger's text: quote it.
  [[nodiscard]] virtual std::string console_tail() const = 0;

  /// Of the machine's process; 0 when there is none.
  [[nodiscard]] virtual pid_t pid() const = 0;

  /// Stops and continues the virtual processors.
  virtual void pause(Callback callback) = 0;
  virtual void resume(Callback callback) = 0;

  /// Stops the processors and writes the state to MachineConfig::save_to. After it there is
  /// nothing to do with the machine but end it.
  /// Errors: FailedPrecondition for a machine that is not to be saved; what the machine says.
  virtual void save(Callback callback) = 0;

  /// Gives the running machine other files for its disks: as many as MachineConfig::disks were, in
  /// their order, of the same access and size. The guest must not be using any of them. At most
  /// once. After an error the machine is of no use.
  /// Errors: Invalid for other disks; what the machine says.
  virtual void exchange_disks(std::vector<DiskDevice> disks, Callback callback) = 0;

  virtual void query_accelerator(
      std::move_only_function<void(Result<AcceleratorStatus>)> callback) = 0;

  /// Asks the machine's process to end, flushing its disks; it is killed if it has not ended after
  /// `grace`. The end is reported by on_exit.
  virtual void quit(std::chrono::milliseconds grace) = 0;

  /// Ends it at once. The end is reported by on_exit.
  virtual void kill() = 0;

  /// Time points of the start, for `--timing`; nothing for what has not happened.
  struct Timing {
    std::optional<std::chrono::steady_clock::time_point> launched;  ///< start() was entered
    std::optional<std::chrono::steady_clock::time_point> executed;  ///< the jail is done
    std::optional<std::chrono::steady_clock::time_point> greeted;   ///< QMP's greeting
  };

  [[nodiscard]] virtual Timing timing() const = 0;
};

}  // namespace bulkhead::vmm
