// Preloaded into programs under test: their wall clock is stepped, the machine's is not.
//
// It is the system's plus the seconds that the file $STEP_CLOCK_FILE holds, read anew each time, so
// that processes see a step while they run. Without the variable, as in QEMU's jail, the clock
// jumps two days every second, forth and back. Everything else is left alone: the monotonic clocks,
// as in a real step, and the times that the kernel gives files, which a real step would change too.

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <tuple>

namespace {

constexpr long kSwing = 86400;

int real_clock(clockid_t clock, timespec* time) {
  return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
}

long number_in(const char* path) {
  const int before = errno;
  std::array<char, 32> text{};
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    // Nothing to read is 0 as well: it is being written.
    [[maybe_unused]] const ssize_t size = ::read(fd, text.data(), text.size() - 1);
    ::close(fd);
  }
  errno = before;
  return std::strtol(text.data(), nullptr, 10);
}

long offset() {
  if (const char* path = std::getenv("STEP_CLOCK_FILE"); path != nullptr) {
    return number_in(path);
  }
  timespec now{};
  real_clock(CLOCK_MONOTONIC, &now);
  return now.tv_sec % 2 == 0 ? kSwing : -kSwing;
}

}  // namespace

// The names are the C library's.
extern "C" {

[[gnu::visibility("default")]] int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const int result = real_clock(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    time->tv_sec += offset();
  }
  return result;
}

[[gnu::visibility("default")]] int gettimeofday(timeval* time, void* /*zone*/) noexcept {
  timespec now{};
  const int result = clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return result;
}

[[gnu::visibility("default")]] time_t time(time_t* result) noexcept {
  timespec now{};
  std::ignore = clock_gettime(CLOCK_REALTIME, &now);
  if (result != nullptr) {
    *result = now.tv_sec;
  }
  return now.tv_sec;
}

}  // extern "C"
