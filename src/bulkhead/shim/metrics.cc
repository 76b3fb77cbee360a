#include "bulkhead/shim/metrics.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "bulkhead/agent_client/check.h"

#include "containerd/cgroups/v2/metrics.pb.h"

namespace bulkhead::shim {
namespace {

namespace metrics_api = io::containerd::cgroups::v2;
using agent_client::Counters;

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

/// A name of the kernel's and the field for it.
template <class Message>
struct Field {
  std::string_view name;
  void (Message::*set)(std::uint64_t);
};

using Memory = metrics_api::MemoryStat;
constexpr Field<Memory> kMemoryFields[] = {
    {"anon", &Memory::set_anon},
    {"file", &Memory::set_file},
    {"kernel_stack", &Memory::set_kernel_stack},
    {"slab", &Memory::set_slab},
    {"sock", &Memory::set_sock},
    {"shmem", &Memory::set_shmem},
    {"file_mapped", &Memory::set_file_mapped},
    {"file_dirty", &Memory::set_file_dirty},
    {"file_writeback", &Memory::set_file_writeback},
    {"anon_thp", &Memory::set_anon_thp},
    {"inactive_anon", &Memory::set_inactive_anon},
    {"active_anon", &Memory::set_active_anon},
    {"inactive_file", &Memory::set_inactive_file},
    {"active_file", &Memory::set_active_file},
    {"unevictable", &Memory::set_unevictable},
    {"slab_reclaimable", &Memory::set_slab_reclaimable},
    {"slab_unreclaimable", &Memory::set_slab_unreclaimable},
    {"pgfault", &Memory::set_pgfault},
    {"pgmajfault", &Memory::set_pgmajfault},
    {"workingset_nodereclaim", &Memory::set_workingset_nodereclaim},
    {"pgrefill", &Memory::set_pgrefill},
    {"pgscan", &Memory::set_pgscan},
    {"pgsteal", &Memory::set_pgsteal},
    {"pgactivate", &Memory::set_pgactivate},
    {"pgdeactivate", &Memory::set_pgdeactivate},
    {"pglazyfree", &Memory::set_pglazyfree},
    {"pglazyfreed", &Memory::set_pglazyfreed},
    {"thp_fault_alloc", &Memory::set_thp_fault_alloc},
    {"thp_collapse_alloc", &Memory::set_thp_collapse_alloc},
};

using Processor = metrics_api::CPUStat;
constexpr Field<Processor> kProcessorFields[] = {
    {"usage_usec", &Processor::set_usage_usec},
    {"user_usec", &Processor::set_user_usec},
    {"system_usec", &Processor::set_system_usec},
    {"nr_periods", &Processor::set_nr_periods},
    {"nr_throttled", &Processor::set_nr_throttled},
    {"throttled_usec", &Processor::set_throttled_usec},
    {"nr_bursts", &Processor::set_nr_bursts},
    {"burst_usec", &Processor::set_burst_usec},
};

using Events = metrics_api::MemoryEvents;
constexpr Field<Events> kEventFields[] = {
    {"low", &Events::set_low},           {"high", &Events::set_high},
    {"max", &Events::set_max},           {"oom", &Events::set_oom},
    {"oom_kill", &Events::set_oom_kill}, {"oom_group_kill", &Events::set_oom_group_kill},
};

std::uint64_t counter(const Counters& counters, std::string_view name) {
  const auto found = counters.find(name);
  return found == counters.end() ? 0 : found->second;
}

template <class Message, std::size_t N>
void fill(const Counters& counters, const Field<Message> (&fields)[N], Message& to) {
  for (const Field<Message>& field : fields) {
    (to.*field.set)(counter(counters, field.name));
  }
}

void fill_memory(const agent_client::Statistics& statistics, std::uint64_t machine, Memory& to) {
  fill(statistics.memory, kMemoryFields, to);
  // Kernels from 5.9 on count pages of files and of processes apart.
  to.set_workingset_refault(counter(statistics.memory, "workingset_refault_anon") +
                            counter(statistics.memory, "workingset_refault_file"));
  to.set_workingset_activate(counter(statistics.memory, "workingset_activate_anon") +
                             counter(statistics.memory, "workingset_activate_file"));
  to.set_usage(std::min(statistics.memory_bytes, machine));
  to.set_max_usage(std::min(statistics.memory_peak_bytes, machine));
  to.set_usage_limit(statistics.memory_limit_bytes == 0
                         ? machine
                         : std::min(statistics.memory_limit_bytes, machine));
}

void fill_interface(const agent_client::Interface& from, metrics_api::NetworkStat& to) {
  to.set_name(from.name);
  to.set_rx_bytes(from.received.bytes);
  to.set_rx_packets(from.received.packets);
  to.set_rx_errors(from.received.errors);
  to.set_rx_dropped(from.received.dropped);
  to.set_tx_bytes(from.sent.bytes);
  to.set_tx_packets(from.sent.packets);
  to.set_tx_errors(from.sent.errors);
  to.set_tx_dropped(from.sent.dropped);
}

}  // namespace

metrics_api::Metrics to_metrics(const agent_client::Statistics& statistics,
                                std::uint64_t machine_memory_bytes) {
  metrics_api::Metrics metrics;
  fill(statistics.processor, kProcessorFields, *metrics.mutable_cpu());
  fill_memory(statistics, machine_memory_bytes, *metrics.mutable_memory());
  fill(statistics.memory_events, kEventFields, *metrics.mutable_memory_events());
  metrics.mutable_pids()->set_current(statistics.processes);
  metrics.mutable_pids()->set_limit(statistics.process_limit == 0 ? kNoLimit
                                                                  : statistics.process_limit);
  for (const agent_client::BlockDevice& device : statistics.block_devices) {
    metrics_api::IOEntry& entry = *metrics.mutable_io()->add_usage();
    entry.set_major(device.major);
    entry.set_minor(device.minor);
    entry.set_rbytes(device.read_bytes);
    entry.set_wbytes(device.written_bytes);
    entry.set_rios(device.reads);
    entry.set_wios(device.writes);
  }
  for (const agent_client::Interface& interface : statistics.interfaces) {
    fill_interface(interface, *metrics.add_network());
  }
  return metrics;
}

}  // namespace bulkhead::shim
