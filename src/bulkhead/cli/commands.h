#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/mounts.h"
#include "bulkhead/config/paths.h"

// One function for each command. Each gets its options parsed and returns the exit status of the
// program, or an error that main() prints as one line.

namespace bulkhead::cli {

enum class OutputFormat : std::uint8_t { Table, Json };

enum class TerminalMode : std::uint8_t { None, Allocate };

enum class InputMode : std::uint8_t { Closed, Keep };

/// What a process in a container is to be.
struct ProcessOptions {
  std::vector<std::string> environment;        ///< "K=V", or "K" to take the caller's value
  std::vector<std::string> environment_files;  ///< of "K=V" lines
  std::string working_directory;
  std::string user;
  InputMode input = InputMode::Closed;
  TerminalMode terminal = TerminalMode::None;
};

struct MachineOptions {
  std::string memory = "1g";
  double cpus = 0;  ///< 0: two, or what the host has if that is less
  std::string scratch_size = "10g";
  std::string network = "bulkhead";
};

struct CreateOptions {
  ProcessOptions process;
  MachineOptions machine;
  MountOptions mounts;
  std::string name;
  std::string image;
  std::vector<std::string> arguments;
  std::optional<std::string> entrypoint;  ///< "" resets the image's
  std::string hostname;
  std::vector<std::string> dns_servers;
  std::vector<std::string> labels;
  std::string pull = "missing";        ///< always, missing, never
  std::string pull_progress = "auto";  ///< as `image pull` has it
  unsigned layers_at_once = 3;         ///< of a pull
  bool read_only = false;
  bool remove = false;
  bool insecure_registry = false;
  bool cold = false;
  bool timing = false;
};

struct RunOptions {
  CreateOptions create;
  bool detach = false;
};

Result<int> run(const config::Paths& paths, const RunOptions& options);
Result<int> create(const config::Paths& paths, const CreateOptions& options);

struct StartOptions {
  std::vector<std::string> containers;
  bool attach = false;
  bool interactive = false;
};

Result<int> start(const config::Paths& paths, const StartOptions& options);

struct ExecOptions {
  ProcessOptions process;
  std::string container;
  std::vector<std::string> arguments;
  bool detach = false;
};

Result<int> exec(const config::Paths& paths, const ExecOptions& options);

struct ListOptions {
  bool all = false;
  bool quiet = false;
  bool no_truncation = false;
  OutputFormat format = OutputFormat::Table;
};

Result<int> list(const config::Paths& paths, const ListOptions& options);

Result<int> inspect(const config::Paths& paths, const std::vector<std::string>& containers);

struct StatsOptions {
  std::vector<std::string> containers;  ///< none: whatever runs
  bool all = false;
  bool once = false;
  bool no_truncation = false;
  OutputFormat format = OutputFormat::Table;
};

/// Until interrupted, unless `once`.
Result<int> stats(const config::Paths& paths, const StatsOptions& options);

struct LogsOptions {
  std::string container;
  bool follow = false;
  bool timestamps = false;
  std::string tail = "all";
};

Result<int> logs(const config::Paths& paths, const LogsOptions& options);

struct ExportOptions {
  std::string container;
  std::string output;  ///< "-" for standard output
};

/// Replaces this process by bulkhead-disk, which writes the tar.
Result<int> export_container(const config::Paths& paths, const ExportOptions& options);

struct UpdateOptions {
  std::vector<std::string> containers;
  std::string memory;
};

/// New limits, for containers that run at once, and for the next start.
Result<int> update(const config::Paths& paths, const UpdateOptions& options);

struct StopOptions {
  std::vector<std::string> containers;
  std::chrono::seconds timeout{10};
};

Result<int> stop(const config::Paths& paths, const StopOptions& options);

struct KillOptions {
  std::vector<std::string> containers;
  std::string signal = "KILL";
};

Result<int> kill(const config::Paths& paths, const KillOptions& options);

struct RemoveOptions {
  std::vector<std::string> containers;
  bool force = false;
};

Result<int> remove(const config::Paths& paths, const RemoveOptions& options);

Result<int> wait(const config::Paths& paths, const std::vector<std::string>& containers);

/// Replaces this process by bulkhead-image with these arguments.
Result<int> image(const config::Paths& paths, const std::vector<std::string>& arguments);

/// The same by bulkhead-disk.
Result<int> disk(const config::Paths& paths, const std::vector<std::string>& arguments);

Result<int> system_info(const config::Paths& paths, OutputFormat format);

/// Makes a template, if there is none, and prints its id. Lets machines stand by, where that is
/// settled.
Result<int> system_warm(const config::Paths& paths, const MachineOptions& options);

Result<int> template_list(const config::Paths& paths, OutputFormat format);

/// Of things that have an id and no name.
struct RemoveByIdOptions {
  std::vector<std::string> ids;
  bool all = false;
};

Result<int> template_remove(const config::Paths& paths, const RemoveByIdOptions& options);

/// Machines that stand by for containers.
Result<int> standby_list(const config::Paths& paths, OutputFormat format);

Result<int> standby_remove(const config::Paths& paths, const RemoveByIdOptions& options);

struct NetworkListOptions {
  bool quiet = false;
  OutputFormat format = OutputFormat::Table;
};

Result<int> network_list(const config::Paths& paths, const NetworkListOptions& options);
Result<int> network_inspect(const config::Paths& paths, const std::vector<std::string>& names);
Result<int> network_remove(const config::Paths& paths, const std::vector<std::string>& names);

/// Removes networks that no container uses, and prints their names.
Result<int> network_prune(const config::Paths& paths);

/// Prints the script for "bash", "zsh" or "fish".
Result<int> completion(const config::Paths& paths, const std::string& shell);

/// What images, containers and templates take on disk.
Result<int> system_df(const config::Paths& paths, OutputFormat format);

}  // namespace bulkhead::cli
