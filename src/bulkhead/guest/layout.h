#pragma once

// Where PID 1 keeps what it mounts. The directories are made by the initramfs; no container sees
// them.

namespace bulkhead::guest {

inline constexpr const char* kNewRoot = "/newroot";  ///< only while booting, see boot.cc
inline constexpr const char* kBaseDirectory = "/run/base";
inline constexpr const char* kScratchDirectory = "/run/scratch";
inline constexpr const char* kContainerRoot = "/run/root";
inline constexpr const char* kCgroupDirectory = "/run/cgroup";
inline constexpr const char* kContainerCgroup = "/run/cgroup/container";
inline constexpr const char* kFilesDirectory = "/run/files";
inline constexpr const char* kStageDirectory = "/run/stage";

inline constexpr const char* kRehearsalDirectory = "/run/rehearsal";

inline constexpr const char* kSharesDirectory = "/run/shares";
/// Data disks are mounted in it, named by their numbers.
inline constexpr const char* kDataDirectory = "/run/data";

inline constexpr const char* kAgentPort = "org.bulkhead.agent.0";

/// Descriptors up to this one are never used by PID 1 for anything that it hands to a process.
inline constexpr int kLastReservedDescriptor = 5;

}  // namespace bulkhead::guest
