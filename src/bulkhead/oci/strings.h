#pragma once

#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"

// Checks on text that will become arguments, environment and paths of a process.

namespace bulkhead::oci {

/// No string and no member name anywhere in it holds a NUL, which system calls would cut at.
/// Errors: Invalid.
Result<> check_no_nul(const json::Value& value, std::string_view what);

/// What the kernel can take as arguments and environment: each string below 128 KiB, together at
/// most 2 MiB. Errors: ResourceExhausted. Source: execve(2), MAX_ARG_STRLEN.
Result<> check_process_strings(const std::vector<std::string>& arguments,
                               const std::vector<std::string>& environment, std::string_view what);

/// Absolute, without "..". Errors: Invalid.
Result<> check_absolute_path(std::string_view path, std::string_view what);

}  // namespace bulkhead::oci
