#pragma once

#include <functional>
#include <string>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/result.h"

namespace bulkhead::archive {

/// Has `write` write to `path`, "-" for standard output. A file is there whole or not at all, for
/// its owner alone: it is written beside, as `path`.partial, and renamed. What is no regular file
/// (a pipe, /dev/stdout) is written as it is. Errors: those of `write`; Io; NoSpace.
Result<> write_output(const std::string& path, const std::function<Result<>(Writer& to)>& write);

}  // namespace bulkhead::archive
