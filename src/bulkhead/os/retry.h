#pragma once

#include <cerrno>

namespace bulkhead::os {

/// Repeats a system call that was interrupted by a signal.
template <class Call>
auto retry_eintr(Call call) {
  while (true) {
    const auto result = call();
    if (result != -1 || errno != EINTR) {
      return result;
    }
  }
}

}  // namespace bulkhead::os
