/* A container's process for bench/start --exact: writes a line, then waits until its input ends. No C library: every
 * instruction is its own. */

static long call(long number, long a, const void* b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

void _start(void) {
  enum { kRead = 0, kWrite = 1, kExit = 60 };
  static char byte;
  call(kWrite, 1, "hello\n", 6);
  __asm__ volatile(".globl after_output\nafter_output: xchg %%rbx, %%rbx" ::: "memory");
  while (call(kRead, 0, &byte, 1) > 0) {
  }
  call(kExit, 0, 0, 0);
}
