#pragma once

#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/oci/spec.h"

namespace bulkhead::cli {

/// What the user wants to see in a container, in the words of docker and podman.
struct MountOptions {
  std::vector<std::string> volumes;  ///< -v HOST:CONTAINER[:OPTIONS]
  std::vector<std::string> mounts;   ///< --mount type=bind|tmpfs,KEY=VALUE,…
  std::vector<std::string> tmpfs;    ///< --tmpfs CONTAINER[:OPTIONS]
  std::vector<std::string> disks;    ///< --disk FILE:CONTAINER[:ro]
};

/// Mounts of a specification, outer ones first. Relative paths of the host are `directory`'s.
/// Errors: Invalid, Unsupported (named volumes, propagation to the host) and NotFound (nothing
/// there on the host), all naming the option.
Result<std::vector<oci::Mount>> parse_mounts(const MountOptions& options,
                                             const std::string& directory);

/// Adds them. One at the place of a mount that is there takes that one's place.
void add_mounts(std::vector<oci::Mount> mounts, oci::Spec& spec);

/// Those that not every container has.
std::vector<oci::Mount> added_mounts(const oci::Spec& spec);

}  // namespace bulkhead::cli
