#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

// How a cgroup's files are written. Source: kernel Documentation/admin-guide/cgroup-v2.rst,
// "Interface Files".

namespace bulkhead::guest {

struct Counter {
  std::string_view name;
  std::uint64_t value = 0;

  bool operator==(const Counter&) const = default;
};

/// The lines "name value" of memory.stat, cpu.stat and their like; views into `content`. Other
/// lines are passed over.
std::vector<Counter> parse_counters(std::string_view content);

/// 0 when there is none of that name.
std::uint64_t find_counter(const std::vector<Counter>& counters, std::string_view name);

/// A file of one number; 0 for "max", which is no limit, and for what is no number.
std::uint64_t parse_limit(std::string_view content);

struct BlockAccount {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;

  bool operator==(const BlockAccount&) const = default;
};

/// The lines "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0" of io.stat.
std::vector<BlockAccount> parse_block_accounts(std::string_view content);

}  // namespace bulkhead::guest
