// Runs inside a jail in place of the virtual machine's process, as if an attacker had taken it
// over, and tries to get out. One line for each attempt: "ok NAME" when it was held, "ESCAPED NAME:
// how" when not. Static, so that the jail needs nothing but this file. It makes system calls
// directly: the point is what the kernel answers.
//
// usage: jail-drill EXPECTED-DESCRIPTORS (a bit mask of 0 to 31)

#include <dirent.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>

namespace {

int escapes = 0;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): one counter

void report(const char* name, bool is_held, const char* how = "") {
  if (is_held) {
    std::printf("ok %s\n", name);
  } else {
    ++escapes;
    std::printf("ESCAPED %s: %s\n", name, how);
  }
}

void expect_failure(const char* name, long result) {
  report(name, result < 0, "the call succeeded");
}

void files() {
  for (const char* path : {"/etc/passwd", "/etc/shadow", "/root", "/home", "/proc", "/sys", "/run",
                           "/tmp", "/var", "/bin/sh", "/usr/bin/env", "/dev/kvm", "/dev/mem",
                           "/dev/vda", "/dev/net/tun", "/dev/tty", "/dev/ptmx", "/dev/fuse"}) {
    report(path, ::access(path, F_OK) != 0, "it is visible");
  }
  expect_failure("create a file in /", ::open("/probe", O_CREAT | O_WRONLY, 0600));
  expect_failure("create a file in /dev", ::open("/dev/probe", O_CREAT | O_WRONLY, 0600));
  expect_failure("write to the program", ::open("/drill", O_WRONLY));
  expect_failure("make a directory", ::mkdir("/probe", 0700));
  expect_failure("make a device node", ::mknod("/mem", S_IFCHR | 0600, 0x101));
  // All that is there: the program and two devices.
  int entries = 0;
  if (DIR* root = ::opendir("/")) {
    while (const dirent* entry = ::readdir(root)) {
      entries += entry->d_name[0] != '.' ? 1 : 0;
    }
    ::closedir(root);
  }
  report("the root has two entries", entries == 2, "it has others");
  // Up and out.
  expect_failure("leave by dot dot", ::open("/../../../../etc/passwd", O_RDONLY));
  expect_failure("chroot", ::chroot("/dev"));
}

void processes() {
  report("is process 1", ::getpid() == 1 && ::getppid() == 0, "another pid");
  for (const pid_t pid : {2, 10, 100, 1000}) {
    expect_failure("signal another process", ::kill(pid, 0));
  }
  expect_failure("signal everybody", ::kill(-1, 0));
  expect_failure("ptrace", ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
  expect_failure("read another's memory",
                 ::syscall(SYS_process_vm_readv, 1, nullptr, 0, nullptr, 0, 0));
  expect_failure("take another's descriptor", ::syscall(SYS_pidfd_getfd, 0, 0, 0));
  report("no parent's session", ::getsid(0) == 1, "another session");
}

void network() {
  for (const int family : {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG}) {
    expect_failure("socket of another family", ::socket(family, SOCK_STREAM, 0));
    expect_failure("datagram socket of another family", ::socket(family, SOCK_DGRAM, 0));
  }
  const int local = ::socket(AF_UNIX, SOCK_STREAM, 0);
  report("sockets of its own", local >= 0, "it has none");
  if (local < 0) {
    return;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The test listens here, on the host.
  std::memcpy(address.sun_path, "\0bulkhead-jail-drill", 20);
  expect_failure("the host's abstract sockets",
                 ::connect(local, reinterpret_cast<sockaddr*>(&address),
                           static_cast<socklen_t>(sizeof(sa_family_t) + 20)));
}

void privileges() {
  report("is not root", ::getuid() != 0 && ::geteuid() != 0 && ::getgid() != 0, "it is root");
  expect_failure("become root", ::setuid(0));
  expect_failure("become group 0", ::setgid(0));
  std::array<gid_t, 64> groups{};
  report("no supplementary groups",
         ::getgroups(static_cast<int>(groups.size()), groups.data()) == 0, "it has some");
  for (int capability = 0; capability <= 40; ++capability) {
    if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) {
      report("no capability in the bounding set", false, "it has one");
    }
  }

  struct Header {
    unsigned version;
    int pid;
  } header{.version = 0x20080522, .pid = 0};

  std::array<unsigned, 6> sets{};
  ::syscall(SYS_capget, &header, sets.data());
  bool is_empty = true;
  for (const unsigned set : sets) {
    is_empty = is_empty && set == 0;
  }
  report("no capabilities", is_empty, "it has some");
  report("no_new_privs", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "it is not set");
  report("seccomp", ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2, "there is no filter");
  for (const int flags : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNS}) {
    expect_failure("new namespaces", ::unshare(flags));
    const long child = ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (child == 0) {
      ::_exit(0);
    }
    expect_failure("clone into namespaces", child);
  }
  expect_failure("keys", ::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0));
  expect_failure("bpf", ::syscall(SYS_bpf, 0, nullptr, 0));
  expect_failure("io_uring", ::syscall(SYS_io_uring_setup, 4, nullptr));
  expect_failure("userfaultfd", ::syscall(SYS_userfaultfd, 0));
  expect_failure("set the host name", ::sethostname("x", 1));
  std::array<char, 65> name{};
  ::gethostname(name.data(), name.size());
  report("knows no host name", std::string(name.data()) == "bulkhead", name.data());
}

void mounts() {
  expect_failure("mount tmpfs", ::mount("x", "/dev", "tmpfs", 0, nullptr));
  expect_failure("mount proc", ::mount("proc", "/dev", "proc", 0, nullptr));
  expect_failure("remount writable", ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND, nullptr));
  expect_failure("unmount", ::umount2("/drill", MNT_DETACH));
  expect_failure("fsopen", ::syscall(SYS_fsopen, "tmpfs", 0));
  expect_failure("open_tree", ::syscall(SYS_open_tree, AT_FDCWD, "/", 1));
  expect_failure("pivot_root", ::syscall(SYS_pivot_root, "/", "/"));
}

/// In a child, since success would end this program.
void execution() {
  const auto try_in_child = [](const char* name, auto attempt) {
    const pid_t child = ::fork();
    if (child == 0) {
      attempt();
      ::_exit(42);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    // Writing the program into memory ends at the limit on file sizes already.
    const bool is_held = (WIFEXITED(status) && WEXITSTATUS(status) == 42) ||
                         (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
    report(name, is_held, "it was executed");
  };
  for (const char* path : {"/bin/sh", "/dev/null", "/proc/self/exe", "/proc/self/fd/0"}) {
    try_in_child("execute another file", [path] { ::execl(path, path, nullptr); });
  }
  try_in_child("execute by descriptor", [] {
    const int self = ::open("/drill", O_RDONLY);
    const char* arguments[] = {"x", nullptr};
    ::syscall(SYS_execveat, self, "", arguments, arguments + 1, AT_EMPTY_PATH);
  });
  try_in_child("execute memory", [] {
    const int memory = ::memfd_create("x", 0);
    const int self = ::open("/drill", O_RDONLY);
    std::array<char, 65536> buffer{};
    for (ssize_t n = 1; n > 0;) {
      n = ::read(self, buffer.data(), buffer.size());
      if (n > 0 && ::write(memory, buffer.data(), static_cast<std::size_t>(n)) != n) {
        ::_exit(42);
      }
    }
    const char* arguments[] = {"x", nullptr};
    ::syscall(SYS_execveat, memory, "", arguments, arguments + 1, AT_EMPTY_PATH);
  });
}

void descriptors(unsigned long expected) {
  for (int fd = 0; fd < 4096; ++fd) {
    const bool is_open = ::fcntl(fd, F_GETFD) >= 0;
    const bool is_expected = fd < 32 && (expected >> static_cast<unsigned>(fd) & 1) != 0;
    if (is_open != is_expected) {
      const std::string which = "descriptor " + std::to_string(fd);
      report(which.c_str(), false, is_open ? "it leaked in" : "it is missing");
    }
  }
  report("only the descriptors passed", true);
}

void limits() {
  const auto limit = [](__rlimit_resource_t resource) {
    rlimit value{};
    ::getrlimit(resource, &value);
    return value.rlim_max;
  };
  report("no core dumps", limit(RLIMIT_CORE) <= 1, "allowed");
  report("few processes", limit(RLIMIT_NPROC) <= 256, "many");
  report("few descriptors", limit(RLIMIT_NOFILE) <= 256, "many");
  report("no file grows", limit(RLIMIT_FSIZE) == 0, "allowed");
  // Fork until the ceiling holds.
  int children = 0;
  std::array<pid_t, 1000> pids{};
  while (children < 1000) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
    if (child < 0) {
      break;
    }
    pids[static_cast<std::size_t>(children++)] = child;
  }
  report("a fork bomb ends", children < 256, "it does not");
  for (int i = 0; i < children; ++i) {
    ::kill(pids[static_cast<std::size_t>(i)], SIGKILL);
    ::waitpid(pids[static_cast<std::size_t>(i)], nullptr, 0);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    return 2;
  }
  std::ignore = std::setvbuf(stdout, nullptr, _IOLBF, 0);
  descriptors(std::strtoul(argv[1], nullptr, 16));
  files();
  processes();
  network();
  privileges();
  mounts();
  execution();
  limits();
  std::printf("done %d\n", escapes);
  return escapes == 0 ? 0 : 1;
}
