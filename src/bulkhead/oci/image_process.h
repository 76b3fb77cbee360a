#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/spec.h"

namespace bulkhead::oci {

/// What the user asked for beside the image.
struct ProcessOptions {
  std::optional<std::string> entrypoint;  ///< replaces the image's, and drops its command
  std::vector<std::string> arguments;     ///< replace the image's command
  std::vector<std::string> environment;   ///< "NAME=value" sets, "NAME" removes
  std::string working_directory;
  std::string user;
  bool terminal = false;
};

/// The image's process with the user's options laid over it as docker does: the arguments, the
/// environment (PATH is always there; TERM for a terminal), directory and user of `process` are
/// set. Errors: Invalid for bad options and for an image without a command when none is given.
Result<> apply_image(const ImageConfig& config, const ProcessOptions& options, Process& process);

/// `wanted` laid over `base`: "NAME=value" sets, "NAME" removes.
void merge_environment(std::vector<std::string>& base, const std::vector<std::string>& wanted);

}  // namespace bulkhead::oci
