#include "bulkhead/guest/statistics.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/guest/cgroup.h"
#include "bulkhead/guest/cgroup_files.h"
#include "bulkhead/netlink/link.h"
#include "bulkhead/netlink/socket.h"

namespace bulkhead::guest {
namespace {

namespace v1 = agent::v1;

/// A container with the capability may make as many as it likes: the host wants no more.
constexpr int kMostInterfaces = 32;
constexpr std::size_t kMostBlockDevices = 64;

/// Empty for a file that this kernel does not have.
Result<std::string> read_if_there(const ContainerCgroup& cgroup, const std::string& file) {
  auto content = cgroup.read(file);
  if (!content && content.error().code() == ErrorCode::NotFound) {
    return std::string();
  }
  return content;
}

template <class Counters>
Result<> add_counters(const ContainerCgroup& cgroup, const std::string& file, Counters& to) {
  const std::string content = BH_TRY(read_if_there(cgroup, file));
  for (const Counter& counter : parse_counters(content)) {
    v1::Counter& one = *to.Add();
    one.set_name(std::string(counter.name));
    one.set_value(counter.value);
  }
  return {};
}

Result<std::uint64_t> read_limit(const ContainerCgroup& cgroup, const std::string& file) {
  return parse_limit(BH_TRY(read_if_there(cgroup, file)));
}

Result<> add_block_devices(const ContainerCgroup& cgroup, v1::StatisticsResponse& response) {
  const std::string content = BH_TRY(read_if_there(cgroup, "io.stat"));
  std::size_t left = kMostBlockDevices;
  for (const BlockAccount& account : parse_block_accounts(content)) {
    if (left-- == 0) {
      break;
    }
    v1::BlockDevice& one = *response.add_block_devices();
    one.set_major(account.major);
    one.set_minor(account.minor);
    one.set_read_bytes(account.read_bytes);
    one.set_written_bytes(account.written_bytes);
    one.set_reads(account.reads);
    one.set_writes(account.writes);
  }
  return {};
}

void fill(const netlink::LinkTraffic& from, v1::Traffic& to) {
  to.set_bytes(from.bytes);
  to.set_packets(from.packets);
  to.set_errors(from.errors);
  to.set_dropped(from.dropped);
}

/// The container's network namespace is PID 1's.
Result<> add_interfaces(v1::StatisticsResponse& response) {
  netlink::Socket socket = BH_TRY(netlink::Socket::open(netlink::Protocol::Route));
  for (const netlink::Link& link : BH_TRY(netlink::list_links(socket))) {
    if (link.index == netlink::kLoopback) {
      continue;
    }
    if (response.interfaces_size() == kMostInterfaces) {
      break;
    }
    v1::InterfaceCounters& one = *response.add_interfaces();
    one.set_name(link.name);
    fill(link.received, *one.mutable_received());
    fill(link.sent, *one.mutable_sent());
  }
  return {};
}

}  // namespace

Result<v1::StatisticsResponse> read_statistics(const ContainerCgroup& cgroup) {
  v1::StatisticsResponse response;
  BH_TRY(add_counters(cgroup, "cpu.stat", *response.mutable_processor()));
  BH_TRY(add_counters(cgroup, "memory.stat", *response.mutable_memory()));
  BH_TRY(add_counters(cgroup, "memory.events", *response.mutable_memory_events()));
  response.set_memory_bytes(BH_TRY(read_limit(cgroup, "memory.current")));
  response.set_memory_peak_bytes(BH_TRY(read_limit(cgroup, "memory.peak")));
  response.set_memory_limit_bytes(BH_TRY(read_limit(cgroup, "memory.max")));
  response.set_processes(BH_TRY(read_limit(cgroup, "pids.current")));
  response.set_process_limit(BH_TRY(read_limit(cgroup, "pids.max")));
  BH_TRY(add_block_devices(cgroup, response));
  BH_TRY(add_interfaces(response));
  return response;
}

}  // namespace bulkhead::guest
