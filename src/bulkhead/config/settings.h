#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead::config {

/// What whoever runs this installation has settled in its file: docs/configuration.md. What the
/// file does not say is as here.
struct Settings {
  /// What all templates together may take of the disk, and of the page cache; 0: none are made.
  std::uint64_t template_budget_bytes = std::uint64_t{4} << 30U;

  /// How many machines stand by for the next container; 0: none, as each takes memory.
  std::uint32_t standby_machines = 0;

  /// Of $BULKHEAD_CONFIG, or of /etc/bulkhead/config.toml, which may be absent.
  /// Errors: Invalid with file and line; NotFound for a file that the variable names.
  static Result<Settings> load();

  /// `file` is what the text is called in messages. Errors: Invalid.
  static Result<Settings> parse(std::string_view text, std::string_view file);

  /// Where load() looks.
  static std::string path();
};

}  // namespace bulkhead::config
