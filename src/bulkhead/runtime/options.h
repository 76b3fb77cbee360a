#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/json/value.h"

namespace bulkhead::v1 {
class CreateOptions;
}  // namespace bulkhead::v1

namespace bulkhead::runtime {

struct HostEntry {
  std::string name;
  std::string address;

  bool operator==(const HostEntry&) const = default;
};

/// How a container's machine is made: what Create's options (proto/bulkhead/v1/options.proto) and a
/// container's record say. It comes from a trusted caller, never from an image.
struct ContainerOptions {
  std::uint32_t vcpus = 0;           ///< 0: two, or what the host has if that is less
  std::uint64_t memory_bytes = 0;    ///< 0: 1 GiB
  std::uint64_t scratch_bytes = 0;   ///< 0: 10 GiB
  std::string scratch_path;          ///< empty: in the bundle, and removed with the container
  std::string network = "bulkhead";  ///< or "none"
  std::vector<std::string> dns_servers;
  std::vector<std::string> dns_searches;
  std::vector<std::string> dns_options;
  std::string hostname;  ///< empty: the specification's
  std::vector<HostEntry> hosts;
  std::string log_path;  ///< empty: no log
  bool managed = false;
  bool remove_on_exit = false;
  bool stdin_once = false;
  std::uint32_t terminal_columns = 0;
  std::uint32_t terminal_rows = 0;
  std::string kernel_path;  ///< empty: the installed one
  bool cold = false;        ///< boots, even where there is a template

  bool operator==(const ContainerOptions&) const = default;

  /// With the defaults filled in. Errors: Invalid for what no machine can be made with; memory is
  /// rounded up to 1 MiB.
  static Result<ContainerOptions> from_proto(const v1::CreateOptions& proto);

  /// Errors: as from_proto.
  static Result<ContainerOptions> from_json(const json::Value& value);

  /// Fills in defaults and checks.
  Result<> settle();

  /// What the machine has, of which `memory_bytes` is the container's limit: a power of two, so
  /// that few templates fit all.
  [[nodiscard]] std::uint64_t machine_memory_bytes() const {
    return memory_bytes == 0 ? 0 : std::bit_ceil(memory_bytes);
  }

  void to_proto(v1::CreateOptions& proto) const;
  [[nodiscard]] json::Value to_json() const;
};

}  // namespace bulkhead::runtime
