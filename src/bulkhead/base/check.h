#pragma once

#include <source_location>

namespace bulkhead::detail {

[[noreturn]] void check_failed(const char* condition, std::source_location where);

}  // namespace bulkhead::detail

/// Ends the process when an invariant of ours is broken. Input is never checked with it.
#define BH_CHECK(condition)                                                          \
  do {                                                                               \
    if (!(condition)) [[unlikely]] {                                                 \
      ::bulkhead::detail::check_failed(#condition, std::source_location::current()); \
    }                                                                                \
  } while (false)
