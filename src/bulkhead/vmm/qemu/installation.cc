#include "bulkhead/vmm/qemu/installation.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/jail/jail.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_info.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/poll.h"
#include "bulkhead/os/process.h"

namespace bulkhead::vmm::qemu {
namespace {

constexpr std::string_view kProgramName = "qemu-system-x86_64";
constexpr std::string_view kJailLibraries = "/lib";
constexpr std::string_view kJailModules = "/modules";
constexpr std::chrono::seconds kProbeTimeout{10};

/// Distributions build the accelerator into the program or put it beside it.
constexpr std::string_view kAcceleratorModule = "accel-tcg-x86_64.so";
constexpr std::array kModuleDirectories = {"/usr/lib/x86_64-linux-gnu/qemu", "/usr/lib64/qemu-kvm",
                                           "/usr/lib64/qemu", "/usr/lib/qemu"};
constexpr std::array kFirmwareFiles = {"/usr/share/qemu/qboot.rom", "/usr/share/qemu-kvm/qboot.rom",
                                       "/usr/local/share/qemu/qboot.rom"};

std::string file_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string find_first(std::span<const char* const> paths) {
  for (const char* path : paths) {
    if (os::path_exists(path)) {
      return path;
    }
  }
  return {};
}

Result<std::string> find_program() {
  std::string usual = fmt::format("/usr/bin/{}", kProgramName);
  if (os::path_exists(usual)) {
    return usual;
  }
  const char* path = std::getenv("PATH");
  for (const std::string_view directory : split(path == nullptr ? "" : path, ':')) {
    std::string candidate = fmt::format("{}/{}", directory, kProgramName);
    if (directory.starts_with('/') && os::path_exists(candidate)) {
      return candidate;
    }
  }
  return fail(ErrorCode::NotFound, "{}: not found; install the package qemu-system-x86",
              kProgramName);
}

/// Runs a short command for its output, for a limited time.
Result<std::string> output_of(std::vector<std::string> arguments,
                              std::vector<std::string> environment) {
  constexpr std::size_t kLongestOutput = 256U << 10U;
  const std::string program = arguments.front();
  os::Pipe pipe = BH_TRY(os::make_pipe());
  os::Process process =
      BH_TRY(os::spawn({.arguments = std::move(arguments),
                        .descriptors = {{.source = pipe.write_end.get(), .target = 1}},
                        .environment = std::move(environment),
                        .working_directory = {}}));
  pipe.write_end.reset();
  const auto deadline = std::chrono::steady_clock::now() + kProbeTimeout;
  std::string output;
  std::array<std::byte, 16384> buffer{};
  while (output.size() < kLongestOutput) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const bool is_ready = BH_TRY(os::wait_readable(pipe.read_end.get(), left));
    const std::size_t size = is_ready ? BH_TRY(os::read_some(pipe.read_end.get(), buffer)) : 0;
    if (!is_ready) {
      BH_TRY(process.kill(SIGKILL));
      BH_TRY(process.wait());
      return fail(ErrorCode::Timeout, "{}: no answer in {} s", program, kProbeTimeout.count());
    }
    if (size == 0) {
      break;
    }
    output += as_text(std::span(buffer).first(size));
  }
  const os::ExitStatus status = BH_TRY(process.wait());
  if (status.code != 0 || status.signal != 0) {
    return fail(ErrorCode::Unavailable, "{} {}", program, status.describe());
  }
  return output;
}

Result<Installation> examine(std::string program) {
  Installation found;
  found.version = BH_TRY(parse_version(BH_TRY(output_of({program, "--version"}, {}))));
  if (found.version < kOldestVersion) {
    return fail(ErrorCode::Unsupported, "{} is version {}, {} is the oldest supported", program,
                found.version.text(), kOldestVersion.text());
  }
  std::vector<std::string> environment = {"LD_TRACE_LOADED_OBJECTS=1"};
  for (const char* directory : kModuleDirectories) {
    std::string module = fmt::format("{}/{}", directory, kAcceleratorModule);
    if (os::path_exists(module)) {
      environment.push_back("LD_PRELOAD=" + module);
      found.modules.push_back(std::move(module));
      break;
    }
  }
  // A statically linked program ignores these and prints its version.
  const std::string loaded = BH_TRY(output_of({program, "--version"}, environment));
  found.libraries = BH_TRY(parse_loaded_objects(loaded));
  std::erase_if(found.libraries, [&](const SharedLibrary& library) {
    return std::ranges::find(found.modules, library.path) != found.modules.end();
  });
  found.firmware = find_first(kFirmwareFiles);
  found.program = std::move(program);
  return found;
}

/// Changes whenever a package operation may have changed what examine() finds.
Result<std::string> fingerprint(const std::string& program) {
  const os::FileInfo info = BH_TRY(os::file_info(program));
  const auto cache = os::file_info("/etc/ld.so.cache");
  return fmt::format("1 {} {} {} {} {}", program, info.inode, info.size,
                     info.modified_nanoseconds(), cache ? cache->modified_nanoseconds() : 0);
}

Result<Installation> read_cache(const std::string& path, std::string_view wanted) {
  const std::string text = BH_TRY(os::read_file(path, 1U << 20U));
  const json::Value value = BH_TRY(json::parse(text, "qemu.json"));
  const json::Fields fields = BH_TRY(json::Fields::create(value, "qemu.json"));
  std::string of;
  BH_TRY(fields.require("fingerprint", of));
  if (of != wanted) {
    return fail(ErrorCode::FailedPrecondition, "{}: of another installation", path);
  }
  Installation found;
  std::string version;
  BH_TRY(fields.require("program", found.program));
  BH_TRY(fields.require("version", version));
  BH_TRY(fields.require("modules", found.modules));
  BH_TRY(fields.require("firmware", found.firmware));
  found.version = BH_TRY(parse_version("QEMU emulator version " + version));
  BH_TRY(fields.each("libraries", [&](const json::Value& element, std::string name) -> Result<> {
    const json::Fields library = BH_TRY(json::Fields::create(element, std::move(name)));
    SharedLibrary one;
    BH_TRY(library.require("name", one.name));
    BH_TRY(library.require("path", one.path));
    found.libraries.push_back(std::move(one));
    return {};
  }));
  return found;
}

Result<> write_cache(const std::string& directory, const std::string& path,
                     std::string_view fingerprint, const Installation& found) {
  json::Value value;
  value.set("fingerprint", fingerprint);
  value.set("program", found.program);
  value.set("version", found.version.text());
  value.set("modules", found.modules);
  value.set("firmware", found.firmware);
  json::Array libraries;
  for (const SharedLibrary& library : found.libraries) {
    json::Value one;
    one.set("name", library.name);
    one.set("path", library.path);
    libraries.push_back(std::move(one));
  }
  value.set("libraries", std::move(libraries));
  BH_TRY(os::make_directories(directory, 0700));
  return os::write_file_atomically(path, json::write(value, json::Style::Pretty), 0600);
}

}  // namespace

std::string Version::text() const { return fmt::format("{}.{}.{}", major, minor, micro); }

Result<Version> parse_version(std::string_view output) {
  constexpr std::string_view kPrefix = "QEMU emulator version ";
  const std::string_view line = output.substr(0, output.find('\n'));
  if (line.starts_with(kPrefix)) {
    const std::string_view number =
        line.substr(kPrefix.size(), line.find(' ', kPrefix.size()) - kPrefix.size());
    const auto pieces = split(number, '.');
    if (pieces.size() == 3) {
      const auto major = parse_decimal<std::uint32_t>(pieces[0]);
      const auto minor = parse_decimal<std::uint32_t>(pieces[1]);
      // "7.2.0-rc1"
      const auto micro = parse_decimal<std::uint32_t>(pieces[2].substr(0, pieces[2].find('-')));
      if (major && minor && micro) {
        return Version{.major = *major, .minor = *minor, .micro = *micro};
      }
    }
  }
  return fail(ErrorCode::Invalid, "version of qemu: {}", quote(line));
}

Result<std::vector<SharedLibrary>> parse_loaded_objects(std::string_view output) {
  std::vector<SharedLibrary> libraries;
  for (std::string_view line : split(output, '\n')) {
    // "\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f…)", "\t/lib64/ld-linux-x86-64.so.2
    // (0x…)", "\tlinux-vdso.so.1 (0x…)", "\tlibx.so => not found"
    if (!line.starts_with('\t')) {
      continue;
    }
    line.remove_prefix(1);
    if (line.ends_with("=> not found")) {
      return fail(ErrorCode::NotFound, "qemu needs {}, which is absent",
                  quote(line.substr(0, line.find(' '))));
    }
    const std::size_t arrow = line.find(" => ");
    const std::string_view name = line.substr(0, std::min(arrow, line.find(" (")));
    std::string_view path = arrow == std::string_view::npos ? name : line.substr(arrow + 4);
    path = path.substr(0, path.find(" ("));
    if (path.starts_with('/')) {
      libraries.push_back({.name = std::string(name), .path = std::string(path)});
    }
  }
  return libraries;
}

std::vector<jail::Bind> Installation::binds() const {
  std::vector<jail::Bind> binds = {
      {.source = program, .target = std::string(kJailProgram), .is_executable = true}};
  for (const SharedLibrary& library : libraries) {
    // The loader is named by its path in the program.
    binds.push_back({.source = library.path,
                     .target = library.name.starts_with('/')
                                   ? library.name
                                   : fmt::format("{}/{}", kJailLibraries, library.name),
                     .is_executable = true});
  }
  for (const std::string& module : modules) {
    binds.push_back({.source = module,
                     .target = fmt::format("{}/{}", kJailModules, file_name(module)),
                     .is_executable = true});
  }
  if (!firmware.empty()) {
    binds.push_back({.source = firmware,
                     .target = fmt::format("{}/{}", kJailFirmwareDirectory, file_name(firmware)),
                     .is_executable = false});
  }
  return binds;
}

std::vector<std::string> Installation::environment() {
  return {fmt::format("LD_LIBRARY_PATH={}", kJailLibraries),
          fmt::format("QEMU_MODULE_DIR={}", kJailModules), "LC_ALL=C"};
}

Result<Installation> find_installation(const std::string& run_directory) {
  std::string program = BH_TRY(find_program());
  const std::string of = BH_TRY(fingerprint(program));
  const std::string path = run_directory + "/qemu.json";
  if (auto cached = read_cache(path, of)) {
    return *std::move(cached);
  }
  Installation found = BH_TRY(examine(std::move(program)));
  if (const auto written = write_cache(run_directory, path, of, found); !written) {
    log::debug("{}", written.error().message());
  }
  return found;
}

}  // namespace bulkhead::vmm::qemu
