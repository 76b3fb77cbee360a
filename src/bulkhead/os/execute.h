#pragma once

#include <string>
#include <vector>

#include "bulkhead/base/error.h"

// Becoming another program.

namespace bulkhead::os {

/// Becomes the program at `path`. Returns only to say why it could not.
[[nodiscard]] Error execute(const std::string& path, const std::vector<std::string>& arguments,
                            const std::vector<std::string>& environment);

/// Becomes `arguments`[0], looked for in PATH, with this process's environment. Returns only to say
/// why it could not.
[[nodiscard]] Error replace_process(const std::vector<std::string>& arguments);

/// The strings as exec and posix_spawn want them, with a null at the end; they are not written to.
/// Good as long as `strings` is.
std::vector<char*> exec_pointers(const std::vector<std::string>& strings);

}  // namespace bulkhead::os
