#include "bulkhead/jail/seccomp.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace bulkhead::jail {
namespace {

#ifdef __x86_64__
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
constexpr std::array kArchitectureDenied = {
    SYS_ioperm, SYS_iopl, SYS_modify_ldt, SYS_create_module, SYS_uselib, SYS_ustat, SYS__sysctl};
/// x32 calls have this bit, on the same architecture word.
constexpr std::uint32_t kForeignAbiBit = 0x40000000;
#elifdef __aarch64__
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
constexpr std::array<int, 0> kArchitectureDenied{};
constexpr std::uint32_t kForeignAbiBit = 0x40000000;
#else
#error "no seccomp filter for this architecture"
#endif

// Headers may be older than these.
constexpr int kOpenTreeAttr = 467;
constexpr int kListMount = 458;
constexpr int kStatMount = 457;

constexpr std::array kDenied = {
    // namespaces and mounts
    SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree,
    SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
    kOpenTreeAttr, kListMount, kStatMount, SYS_quotactl, SYS_quotactl_fd, SYS_swapon, SYS_swapoff,
    // other processes
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_pidfd_getfd,
    SYS_kcmp, SYS_migrate_pages, SYS_move_pages,
    // the kernel's large and seldom needed surfaces
    SYS_bpf, SYS_perf_event_open, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_userfaultfd, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_fanotify_init,
    SYS_lookup_dcookie, SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_personality, SYS_vhangup,
    SYS_nfsservctl, SYS_remap_file_pages,
    // the host as a whole
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load,
    SYS_reboot, SYS_syslog, SYS_acct, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex,
    SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname,
    // execution of something that is no file in the jail
    SYS_execveat};

constexpr std::uint32_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                          CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                                          CLONE_NEWNET;

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kKill = SECCOMP_RET_KILL_PROCESS;

constexpr std::uint32_t refuse(int error) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}

/// Appends instructions; small enough that no jump exceeds its 8 bits.
class Program {
 public:
  void load(std::size_t offset) {
    add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
  }

  void mask(std::uint32_t bits) { add(BPF_ALU | BPF_AND | BPF_K, bits); }

  void finish(std::uint32_t action) { add(BPF_RET | BPF_K, action); }

  void finish_if_equal(std::uint32_t value, std::uint32_t action) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    finish(action);
  }

  void finish_if_any_bit(std::uint32_t bits, std::uint32_t action) {
    add(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    finish(action);
  }

  void finish_unless_equal(std::uint32_t value, std::uint32_t action) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    finish(action);
  }

  /// Skips the `count` instructions that follow unless the value is equal.
  void skip_unless_equal(std::uint32_t value, std::uint8_t count) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count);
  }

  std::vector<sock_filter> take() { return std::move(instructions_); }

 private:
  void add(int code, std::uint32_t k, std::uint8_t jump_true = 0, std::uint8_t jump_false = 0) {
    instructions_.push_back(
        {.code = static_cast<std::uint16_t>(code), .jt = jump_true, .jf = jump_false, .k = k});
  }

  std::vector<sock_filter> instructions_;
};

/// The low half of an argument (little-endian): the kernel looks at no more of these.
constexpr std::size_t argument(std::size_t index) {
  return offsetof(seccomp_data, args) + (index * sizeof(std::uint64_t));
}

void deny(Program& program, std::span<const int> calls) {
  for (const int call : calls) {
    program.finish_if_equal(static_cast<std::uint32_t>(call), refuse(EPERM));
  }
}

/// A user namespace lets nobody make a device node; this is the second wall.
void deny_nodes(Program& program, bool other_nodes_are_fine) {
#ifdef SYS_mknod
  program.finish_if_equal(SYS_mknod, refuse(EPERM));
#endif
  if (!other_nodes_are_fine) {
    program.finish_if_equal(SYS_mknodat, refuse(EPERM));
    return;
  }
  program.skip_unless_equal(SYS_mknodat, 7);
  program.load(argument(2));
  program.mask(S_IFMT);
  program.finish_if_equal(S_IFCHR, refuse(EPERM));
  program.finish_if_equal(S_IFBLK, refuse(EPERM));
  program.finish(kAllow);
}

}  // namespace

std::vector<sock_filter> seccomp_program(bool makes_nodes) {
  Program program;
  program.load(offsetof(seccomp_data, arch));
  program.finish_unless_equal(kArchitecture, kKill);
  program.load(offsetof(seccomp_data, nr));
  program.finish_if_any_bit(kForeignAbiBit, kKill);
  deny(program, kDenied);
  deny(program, kArchitectureDenied);
  program.finish_if_equal(SYS_clone3, refuse(ENOSYS));

  program.skip_unless_equal(SYS_clone, 4);
  program.load(argument(0));
  program.finish_if_any_bit(kNamespaceFlags, refuse(EPERM));
  program.finish(kAllow);

  for (const int call : {SYS_socket, SYS_socketpair}) {
    program.skip_unless_equal(static_cast<std::uint32_t>(call), 4);
    program.load(argument(0));
    program.finish_unless_equal(AF_UNIX, refuse(EPERM));
    program.finish(kAllow);
  }
  deny_nodes(program, makes_nodes);
  program.finish(kAllow);
  return program.take();
}

}  // namespace bulkhead::jail
