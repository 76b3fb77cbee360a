#include "bulkhead/jail/jail.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/jail/seccomp.h"
#include "bulkhead/jail/spec_codec.h"
#include "bulkhead/jail/uid_range.h"
#include "bulkhead/os/file.h"

namespace bulkhead::jail {
namespace {

JailSpec example() {
  return {.arguments = {"/bin/qemu", "-S", ""},
          .environment = {"A=b"},
          .descriptors = {},
          .binds = {{.source = "/usr/bin/qemu", .target = "/bin/qemu", .is_executable = true},
                    {.source = "/boot/vmlinux", .target = "/vmlinux", .is_executable = false}},
          .shares = {{.source = "/srv", .target = "/shares/0"},
                     {.source = "/home/me",
                      .target = "/shares/1",
                      .is_read_only = false,
                      .is_recursive = false}},
          .directories = {"/shares"},
          .devices = {{.target = "/dev/kvm", .device = 2792}},
          .host_id = 0x60000000,
          .limits = {
              .open_files = 10, .processes = 20, .file_size_bytes = 30, .address_space_bytes = 40}};
}

TEST(SpecCodec, KeepsEverything) {
  const std::string encoded = encode_spec(example());
  const auto decoded = decode_spec(encoded);
  ASSERT_THAT(decoded, IsOk());
  EXPECT_EQ(encode_spec(*decoded), encoded);
  EXPECT_EQ(decoded->arguments, example().arguments);
  EXPECT_EQ(decoded->binds[1].target, "/vmlinux");
  EXPECT_FALSE(decoded->binds[1].is_executable);
  ASSERT_EQ(decoded->shares.size(), 2);
  EXPECT_EQ(decoded->shares[0].source, "/srv");
  EXPECT_EQ(decoded->shares[0].target, "/shares/0");
  EXPECT_TRUE(decoded->shares[0].is_read_only);
  EXPECT_TRUE(decoded->shares[0].is_recursive);
  EXPECT_FALSE(decoded->shares[1].is_read_only);
  EXPECT_FALSE(decoded->shares[1].is_recursive);
  EXPECT_EQ(decoded->directories, example().directories);
  EXPECT_EQ(decoded->devices[0].device, 2792U);
  EXPECT_EQ(decoded->limits.address_space_bytes, 40U);
}

TEST(SpecCodec, RejectsEveryTruncation) {
  const std::string encoded = encode_spec(example());
  for (std::size_t size = 0; size < encoded.size(); ++size) {
    EXPECT_THAT(decode_spec(encoded.substr(0, size)), IsError(ErrorCode::Corrupt)) << size;
  }
  EXPECT_THAT(decode_spec(encoded + "x"), IsError(ErrorCode::Corrupt));
}

TEST(SpecCodec, RejectsAbsurdCounts) {
  std::string encoded = encode_spec({});
  // The count of arguments follows the magic and five numbers.
  encoded[8 + (5 * 8) + 6] = '\x7f';
  EXPECT_THAT(decode_spec(encoded), IsError(ErrorCode::Corrupt));
}

TEST(ReportRecord, CarriesErrorsAndCutsLongMessages) {
  const Error error = fail(ErrorCode::NotFound, "bind {}: gone", std::string(1000, 'x'));
  const Error back = record_error(error_record(error));
  EXPECT_EQ(back.code(), ErrorCode::NotFound);
  EXPECT_EQ(back.message(), error.message().substr(0, 500));
  ReportRecord unknown{};
  unknown.error_code = 4711;
  EXPECT_EQ(record_error(unknown).code(), ErrorCode::Internal);
}

TEST(Launch, RejectsSpecsThatMakeNoSense) {
  JailSpec spec = example();
  spec.host_id = 0;
  EXPECT_THAT(launch("/nonexistent", spec), IsError(ErrorCode::Invalid));
  spec = example();
  spec.arguments.clear();
  EXPECT_THAT(launch("/nonexistent", spec), IsError(ErrorCode::Invalid));
  spec = example();
  spec.arguments[1] = std::string("a\0b", 3);
  EXPECT_THAT(launch("/nonexistent", spec), IsError(ErrorCode::Invalid));
  for (const char* target : {"lib", "/../lib", "/lib//x", "/", "/lib/."}) {
    spec = example();
    spec.binds[0].target = target;
    EXPECT_THAT(launch("/nonexistent", spec), IsError(ErrorCode::Invalid)) << target;
  }
}

TEST(Launch, SaysWhatIsNeededWithoutRoot) {
  if (::geteuid() == 0) {
    EXPECT_THAT(launch("/nonexistent/helper", example()), IsError(ErrorCode::NotFound));
  } else {
    EXPECT_THAT(launch("/nonexistent/helper", example()), IsError(ErrorCode::PermissionDenied));
  }
}

class UidRangeTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(directory_.data()), nullptr); }

  void TearDown() override { ASSERT_THAT(os::remove_tree(directory_), IsOk()); }

  std::string directory_ = testing::TempDir() + "bulkhead-uids-XXXXXX";
};

TEST_F(UidRangeTest, GivesEachOwnerItsOwnAndTakesItBack) {
  auto first = UidRange::lease(directory_);
  auto second = UidRange::lease(directory_);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(first->base(), 0x60000000U);
  EXPECT_EQ(second->base(), 0x60010000U);
  {
    const UidRange gone = *std::move(first);
  }
  const auto third = UidRange::lease(directory_);
  ASSERT_THAT(third, IsOk());
  EXPECT_EQ(third->base(), 0x60000000U);
}

/// What the kernel would answer: the few instructions that seccomp programs have.
std::uint32_t run_filter(const std::vector<sock_filter>& program, const seccomp_data& data) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& step = program[at];
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + step.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= step.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += accumulator == step.k ? step.jt : step.jf;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        at += (accumulator & step.k) != 0 ? step.jt : step.jf;
        break;
      case BPF_RET | BPF_K:
        return step.k;
      default:
        ADD_FAILURE() << "unknown instruction " << step.code;
        return 0;
    }
  }
  ADD_FAILURE() << "runs off its end";
  return 0;
}

#ifdef __x86_64__
seccomp_data call(int number, std::uint64_t argument = 0) {
  return {.nr = number,
          .arch = AUDIT_ARCH_X86_64,
          .instruction_pointer = 0,
          .args = {argument, 0, 0, 0, 0, 0}};
}

constexpr std::uint32_t kDenied = SECCOMP_RET_ERRNO | EPERM;

TEST(Seccomp, AllowsWhatProgramsDo) {
  const auto program = seccomp_program();
  EXPECT_LT(program.size(), 256U);
  for (const int number : {SYS_read, SYS_write, SYS_ppoll, SYS_futex, SYS_mmap, SYS_ioctl,
                           SYS_openat, SYS_execve, SYS_exit_group, SYS_sendmsg, SYS_fallocate}) {
    EXPECT_EQ(run_filter(program, call(number)), SECCOMP_RET_ALLOW) << number;
  }
  EXPECT_EQ(run_filter(program, call(SYS_clone, CLONE_VM | CLONE_THREAD)), SECCOMP_RET_ALLOW);
  EXPECT_EQ(run_filter(program, call(SYS_socket, AF_UNIX)), SECCOMP_RET_ALLOW);
  EXPECT_EQ(run_filter(program, call(SYS_socketpair, AF_UNIX)), SECCOMP_RET_ALLOW);
}

TEST(Seccomp, DeniesTheRest) {
  const auto program = seccomp_program();
  for (const int number : {SYS_unshare, SYS_setns, SYS_mount, SYS_move_mount, SYS_ptrace, SYS_bpf,
                           SYS_keyctl, SYS_io_uring_setup, SYS_execveat, SYS_init_module, SYS_mknod,
                           SYS_mknodat, SYS_iopl, SYS_process_vm_writev}) {
    EXPECT_EQ(run_filter(program, call(number)), kDenied) << number;
  }
  EXPECT_EQ(run_filter(program, call(SYS_clone3)), SECCOMP_RET_ERRNO | ENOSYS);
  for (const int flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID}) {
    const auto flags = static_cast<std::uint64_t>(flag | CLONE_VM);
    EXPECT_EQ(run_filter(program, call(SYS_clone, flags)), kDenied) << flag;
  }
  for (const int family : {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG}) {
    EXPECT_EQ(run_filter(program, call(SYS_socket, static_cast<std::uint64_t>(family))), kDenied)
        << family;
  }
}

TEST(Seccomp, LetsNodesBeMadeThatAreNoDevices) {
  const auto program = seccomp_program(true);
  const auto make = [](std::uint64_t mode) {
    seccomp_data data = call(SYS_mknodat);
    data.args[2] = mode;
    return data;
  };
  for (const unsigned mode : {S_IFIFO | 0644U, S_IFSOCK | 0777U, S_IFREG | 0600U, 0U}) {
    EXPECT_EQ(run_filter(program, make(mode)), SECCOMP_RET_ALLOW) << mode;
  }
  for (const unsigned mode : {S_IFCHR | 0666U, S_IFBLK | 0600U}) {
    EXPECT_EQ(run_filter(program, make(mode)), kDenied) << mode;
  }
  EXPECT_EQ(run_filter(program, call(SYS_mknod)), kDenied);
  EXPECT_EQ(run_filter(program, call(SYS_mount)), kDenied);
}

TEST(Seccomp, KillsCallsOfAnotherAbi) {
  const auto program = seccomp_program();
  seccomp_data foreign = call(SYS_read);
  foreign.arch = AUDIT_ARCH_I386;
  EXPECT_EQ(run_filter(program, foreign), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(run_filter(program, call(0x40000000 | SYS_read)), SECCOMP_RET_KILL_PROCESS);
}
#endif

}  // namespace
}  // namespace bulkhead::jail
