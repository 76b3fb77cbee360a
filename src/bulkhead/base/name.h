#pragma once

#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead {

/// The one validator of identifiers that become parts of paths: container ids and names, exec ids,
/// network names. 1 to 128 characters, [a-zA-Z0-9][a-zA-Z0-9_.-]*. `what` is for the message.
/// Errors: Invalid.
Result<> validate_name(std::string_view what, std::string_view name);

/// 64 lower-case hex digits from the kernel's random source.
Result<std::string> make_id();

/// A readable name made up for a container, such as "brave-otter". Not unique by itself.
Result<std::string> make_up_name();

/// Whether `text` could be the beginning of an id: 1 to 64 lower-case hex digits.
bool is_id_prefix(std::string_view text);

}  // namespace bulkhead
