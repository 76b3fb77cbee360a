/* PID 1 of bench-boot, not part of the product: says when it runs, proves that timers fire, reports memory
 * and, if the kernel command line has the word `messages`, the kernel's messages; sleeps for ten seconds if it has the
 * word `idle`; then ends the machine.
 * No C library, so that the time measured is the kernel's. */

enum { kRead = 0, kWrite = 1, kOpen = 2, kNanosleep = 35, kSyslog = 103, kMount = 165, kReboot = 169 };

static long call(long number, long a, long b, long c, long d) {
  register long fourth __asm__("r10") = d;
  register long fifth __asm__("r8") = 0;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
                   : "rcx", "r11", "memory");
  return result;
}

static void say(const char* text, long length) { call(kWrite, 1, (long)text, length, 0); }

static unsigned long ticks(void) {
  unsigned low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return ((unsigned long)high << 32) | low;
}

/* Writes `pid1 TICKS`. */
static void say_ticks(unsigned long value) {
  static char line[40] = "pid1 ";
  char digits[24];
  long count = 0, length = 5;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  while (count) line[length++] = digits[--count];
  line[length++] = '\n';
  say(line, length);
}

static char buffer[1 << 20];

static long read_file(const char* path) {
  long fd = call(kOpen, (long)path, 0, 0, 0);
  return fd < 0 ? 0 : call(kRead, fd, (long)buffer, sizeof buffer, 0);
}

static int has_word(const char* word, long length, long size) {
  for (long i = 0; i + length <= size; i++) {
    long k = 0;
    while (k < length && buffer[i + k] == word[k]) k++;
    if (k == length) return 1;
  }
  return 0;
}

__attribute__((force_align_arg_pointer)) void _start(void) {
  static long five_milliseconds[2] = {0, 5000000};
  static long ten_seconds[2] = {10, 0};
  say_ticks(ticks());
  call(kNanosleep, (long)five_milliseconds, 0, 0, 0);
  say("timer\n", 6);
  call(kMount, (long)"proc", (long)"/proc", (long)"proc", 0);
  say(buffer, read_file("/proc/meminfo"));
  if (has_word("messages", 8, read_file("/proc/cmdline"))) {
    long size = call(kSyslog, 3, (long)buffer, sizeof buffer, 0);
    for (long done = 0; done < size;) {
      long written = call(kWrite, 1, (long)buffer + done, size - done, 0);
      if (written <= 0) break;
      done += written;
    }
  }
  if (has_word("idle", 4, read_file("/proc/cmdline"))) {
    say("idle\n", 5);
    call(kNanosleep, (long)ten_seconds, 0, 0, 0);
    say("busy\n", 5);
  }
  call(kReboot, 0xfee1dead, 672274793, 0x1234567, 0);
  for (;;) {
  }
}
