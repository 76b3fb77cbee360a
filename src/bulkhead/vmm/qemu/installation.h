#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/jail/jail.h"

namespace bulkhead::vmm::qemu {

struct Version {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t micro = 0;

  auto operator<=>(const Version&) const = default;

  [[nodiscard]] std::string text() const;
};

/// The first that this drives.
inline constexpr Version kOldestVersion{.major = 7, .minor = 2, .micro = 0};

/// From the first line of `--version`: "QEMU emulator version 7.2.22 (Debian …)". Errors: Invalid.
Result<Version> parse_version(std::string_view output);

struct SharedLibrary {
  std::string name;  ///< "libz.so.1"; for the loader its full path
  std::string path;
};

/// From what the dynamic loader prints with LD_TRACE_LOADED_OBJECTS (as ldd shows it).
/// Errors: NotFound naming a library that is missing.
Result<std::vector<SharedLibrary>> parse_loaded_objects(std::string_view output);

/// The QEMU of this host and all files that it needs.
struct Installation {
  std::string program;
  Version version;
  std::vector<SharedLibrary> libraries;
  std::vector<std::string> modules;  ///< shared objects that it loads by itself
  std::string firmware;              ///< qboot.rom; empty: QEMU has none beside it

  /// What of it a jail must show. The program is kJailProgram there.
  [[nodiscard]] std::vector<jail::Bind> binds() const;

  /// Of a program in such a jail: where libraries and modules are found.
  [[nodiscard]] static std::vector<std::string> environment();
};

inline constexpr std::string_view kJailProgram = "/qemu";
inline constexpr std::string_view kJailFirmwareDirectory = "/firmware";
inline constexpr std::string_view kJailPreload = "/preload.so";

/// Finds QEMU in /usr/bin or in PATH. What is found out by running it (a tenth of a second) is kept
/// in `run_directory`/qemu.json for as long as neither it nor the loader's cache changes. Errors:
/// NotFound naming the package qemu-system-x86; Unsupported for a version before 7.2.
Result<Installation> find_installation(const std::string& run_directory);

}  // namespace bulkhead::vmm::qemu
