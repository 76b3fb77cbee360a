#include "bulkhead/base/check.h"

#include <cstdio>
#include <cstdlib>
#include <source_location>

#include <fmt/format.h>

namespace bulkhead::detail {

void check_failed(const char* condition, std::source_location where) {
  fmt::print(stderr, "{}:{}: broken invariant: {}\n", where.file_name(), where.line(), condition);
  std::abort();
}

}  // namespace bulkhead::detail
