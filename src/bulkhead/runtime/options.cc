#include "bulkhead/runtime/options.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/value.h"
#include "bulkhead/v1/options.pb.h"
#include "bulkhead/vmm/machine.h"

namespace bulkhead::runtime {
namespace {

constexpr std::uint64_t kMebibyte = 1U << 20U;
constexpr std::uint64_t kDefaultMemory = 1024 * kMebibyte;
constexpr std::uint64_t kDefaultScratch = 10240 * kMebibyte;
constexpr std::uint64_t kLeastScratch = 4 * kMebibyte;
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 44U;   // 16 TiB
constexpr std::uint64_t kMostScratch = std::uint64_t{1} << 44U;  // what ext4 with 32-bit blocks has
constexpr std::size_t kMostEntries = 1024;

std::uint32_t default_vcpus() { return std::clamp(std::thread::hardware_concurrency(), 1U, 2U); }

/// What goes into /etc/hosts, /etc/resolv.conf and /etc/hostname as one word.
Result<> check_word(std::string_view what, std::string_view word) {
  const bool is_word = !word.empty() && word.size() <= 255 && std::ranges::all_of(word, [](char c) {
    return c > ' ' && c < 0x7f && c != '#';
  });
  if (!is_word) {
    return fail(ErrorCode::Invalid, "{} {}: must be one word", what, quote(word));
  }
  return {};
}

Result<> check_words(std::string_view what, const std::vector<std::string>& words) {
  if (words.size() > kMostEntries) {
    return fail(ErrorCode::Invalid, "{}: more than {} of them", what, kMostEntries);
  }
  for (const std::string& word : words) {
    BH_TRY(check_word(what, word));
  }
  return {};
}

Result<> check_path(std::string_view what, const std::string& path) {
  if (!path.empty() && (!path.starts_with('/') || path.contains('\0') || path.size() > 4095)) {
    return fail(ErrorCode::Invalid, "{} {}: must be an absolute path", what, quote(path));
  }
  return {};
}

template <class Repeated>
std::vector<std::string> texts(const Repeated& repeated) {
  return {repeated.begin(), repeated.end()};
}

}  // namespace

Result<> ContainerOptions::settle() {
  if (vcpus == 0) {
    vcpus = default_vcpus();
  }
  if (vcpus > vmm::kMostVcpus) {
    return fail(ErrorCode::Invalid, "{} processors: at most {}", vcpus, vmm::kMostVcpus);
  }
  if (memory_bytes == 0) {
    memory_bytes = kDefaultMemory;
  }
  if (memory_bytes < vmm::kLeastMemoryBytes) {
    return fail(ErrorCode::Invalid, "{} bytes of memory: a virtual machine needs at least {} MiB",
                memory_bytes, vmm::kLeastMemoryBytes / kMebibyte);
  }
  if (memory_bytes > kMostMemory) {
    return fail(ErrorCode::Invalid, "{} bytes of memory: at most {} TiB", memory_bytes,
                kMostMemory >> 40U);
  }
  memory_bytes = (memory_bytes + kMebibyte - 1) / kMebibyte * kMebibyte;
  if (scratch_bytes == 0) {
    scratch_bytes = kDefaultScratch;
  }
  if (scratch_bytes < kLeastScratch || scratch_bytes > kMostScratch) {
    return fail(ErrorCode::Invalid, "scratch disk of {} bytes: {} MiB to {} TiB are possible",
                scratch_bytes, kLeastScratch / kMebibyte, kMostScratch >> 40U);
  }
  if (network.empty()) {
    network = "bulkhead";
  }
  BH_TRY(validate_name("network", network));
  BH_TRY(check_words("dns server", dns_servers));
  BH_TRY(check_words("dns search domain", dns_searches));
  BH_TRY(check_words("dns option", dns_options));
  if (!hostname.empty()) {
    BH_TRY(check_word("host name", hostname));
    if (hostname.size() > 64) {
      return fail(ErrorCode::Invalid, "host name {}: longer than 64 characters", quote(hostname));
    }
  }
  if (hosts.size() > kMostEntries) {
    return fail(ErrorCode::Invalid, "hosts: more than {} entries", kMostEntries);
  }
  for (const HostEntry& entry : hosts) {
    BH_TRY(check_word("host", entry.name));
    BH_TRY(check_word("address of a host", entry.address));
  }
  BH_TRY(check_path("log", log_path));
  BH_TRY(check_path("scratch disk", scratch_path));
  BH_TRY(check_path("kernel", kernel_path));
  if (remove_on_exit && !managed) {
    return fail(ErrorCode::Invalid, "remove_on_exit: only for a managed container");
  }
  return {};
}

Result<ContainerOptions> ContainerOptions::from_proto(const v1::CreateOptions& proto) {
  ContainerOptions options;
  options.vcpus = proto.vcpus();
  options.memory_bytes = proto.memory_bytes();
  options.scratch_bytes = proto.scratch_bytes();
  options.scratch_path = proto.scratch_path();
  options.network = proto.network().name();
  options.dns_servers = texts(proto.network().dns_servers());
  options.dns_searches = texts(proto.network().dns_searches());
  options.dns_options = texts(proto.network().dns_options());
  options.hostname = proto.network().hostname();
  for (const v1::HostEntry& entry : proto.network().hosts()) {
    options.hosts.push_back({.name = entry.name(), .address = entry.address()});
  }
  options.log_path = proto.log().path();
  options.managed = proto.managed();
  options.remove_on_exit = proto.remove_on_exit();
  options.stdin_once = proto.stdin_once();
  options.terminal_columns = proto.terminal_size().columns();
  options.terminal_rows = proto.terminal_size().rows();
  options.kernel_path = proto.kernel_path();
  options.cold = proto.cold();
  BH_TRY(options.settle().context("create options"));
  return options;
}

void ContainerOptions::to_proto(v1::CreateOptions& proto) const {
  proto.set_vcpus(vcpus);
  proto.set_memory_bytes(memory_bytes);
  proto.set_scratch_bytes(scratch_bytes);
  proto.set_scratch_path(scratch_path);
  v1::NetworkOptions& to = *proto.mutable_network();
  to.set_name(network);
  *to.mutable_dns_servers() = {dns_servers.begin(), dns_servers.end()};
  *to.mutable_dns_searches() = {dns_searches.begin(), dns_searches.end()};
  *to.mutable_dns_options() = {dns_options.begin(), dns_options.end()};
  to.set_hostname(hostname);
  for (const HostEntry& entry : hosts) {
    v1::HostEntry& one = *to.add_hosts();
    one.set_name(entry.name);
    one.set_address(entry.address);
  }
  proto.mutable_log()->set_path(log_path);
  proto.set_managed(managed);
  proto.set_remove_on_exit(remove_on_exit);
  proto.set_stdin_once(stdin_once);
  proto.mutable_terminal_size()->set_columns(terminal_columns);
  proto.mutable_terminal_size()->set_rows(terminal_rows);
  proto.set_kernel_path(kernel_path);
  proto.set_cold(cold);
}

Result<ContainerOptions> ContainerOptions::from_json(const json::Value& value) {
  const json::Fields fields = BH_TRY(json::Fields::create(value, "options"));
  ContainerOptions options;
  BH_TRY(fields.read("vcpus", options.vcpus));
  BH_TRY(fields.read("memory_bytes", options.memory_bytes));
  BH_TRY(fields.read("scratch_bytes", options.scratch_bytes));
  BH_TRY(fields.read("scratch_path", options.scratch_path));
  BH_TRY(fields.read("network", options.network));
  BH_TRY(fields.read("dns_servers", options.dns_servers));
  BH_TRY(fields.read("dns_searches", options.dns_searches));
  BH_TRY(fields.read("dns_options", options.dns_options));
  BH_TRY(fields.read("hostname", options.hostname));
  BH_TRY(fields.each("hosts", [&](const json::Value& entry, std::string path) -> Result<> {
    const json::Fields one = BH_TRY(json::Fields::create(entry, std::move(path)));
    HostEntry host;
    BH_TRY(one.require("name", host.name));
    BH_TRY(one.require("address", host.address));
    options.hosts.push_back(std::move(host));
    return {};
  }));
  BH_TRY(fields.read("log_path", options.log_path));
  BH_TRY(fields.read("managed", options.managed));
  BH_TRY(fields.read("remove_on_exit", options.remove_on_exit));
  BH_TRY(fields.read("stdin_once", options.stdin_once));
  BH_TRY(fields.read("terminal_columns", options.terminal_columns));
  BH_TRY(fields.read("terminal_rows", options.terminal_rows));
  BH_TRY(fields.read("kernel_path", options.kernel_path));
  BH_TRY(fields.read("cold", options.cold));
  BH_TRY(options.settle());
  return options;
}

json::Value ContainerOptions::to_json() const {
  json::Value value;
  value.set("vcpus", vcpus);
  value.set("memory_bytes", memory_bytes);
  value.set("scratch_bytes", scratch_bytes);
  value.set("scratch_path", scratch_path);
  value.set("network", network);
  value.set("dns_servers", dns_servers);
  value.set("dns_searches", dns_searches);
  value.set("dns_options", dns_options);
  value.set("hostname", hostname);
  json::Array entries;
  for (const HostEntry& entry : hosts) {
    json::Value one;
    one.set("name", entry.name);
    one.set("address", entry.address);
    entries.push_back(std::move(one));
  }
  value.set("hosts", std::move(entries));
  value.set("log_path", log_path);
  value.set("managed", managed);
  value.set("remove_on_exit", remove_on_exit);
  value.set("stdin_once", stdin_once);
  value.set("terminal_columns", terminal_columns);
  value.set("terminal_rows", terminal_rows);
  value.set("kernel_path", kernel_path);
  value.set("cold", cold);
  return value;
}

}  // namespace bulkhead::runtime
