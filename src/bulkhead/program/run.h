#pragma once

#include <string_view>

#include "bulkhead/base/result.h"

// What the programs that `bulkhead` becomes (bulkhead-image, bulkhead-disk) have in common: their
// words to people are those of `bulkhead` itself.

namespace bulkhead::program {

/// The body of main(): remarks and the error go to standard error, each a line that begins with
/// "bulkhead:". Returns the exit status.
int run(int argc, char** argv, Result<> (*body)(int argc, char** argv));

/// Writes all of it to standard output. Errors: Io.
Result<> print(std::string_view text);

}  // namespace bulkhead::program
