// What a rehearsal (rehearsal.h) executes: a program of one system call, without a library, so that
// nothing is translated for it but the kernel's part.

#include <sys/syscall.h>

extern "C" [[noreturn]] void
_start() {  // NOLINT(bugprone-reserved-identifier,readability-identifier-naming): the linker's
#if defined(__x86_64__)
  asm volatile("syscall" : : "a"(SYS_exit_group), "D"(0));
#elif defined(__aarch64__)
  register long number asm("x8") = SYS_exit_group;
  register long status asm("x0") = 0;
  asm volatile("svc 0" : : "r"(number), "r"(status));
#else
#error "how does one make a system call here?"
#endif
  __builtin_unreachable();
}
