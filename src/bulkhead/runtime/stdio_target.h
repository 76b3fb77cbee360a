#pragma once

#include <cstdint>
#include <string>

#include "bulkhead/base/result.h"

namespace bulkhead::runtime {

/// Where one stream of a process goes to or comes from, as Create and Exec name it.
struct StdioTarget {
  enum class Kind : std::uint8_t { None, Fifo, File };

  Kind kind = Kind::None;
  std::string path;

  /// "" (nothing), "/path" and "fifo:///path" (a FIFO), "file:///path" (appended to).
  /// Errors: Unsupported for another scheme, Invalid for anything else.
  static Result<StdioTarget> parse(const std::string& text);
};

}  // namespace bulkhead::runtime
