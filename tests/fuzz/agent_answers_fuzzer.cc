#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/check.h"

namespace {

bool is_printable(const std::string& text) {
  return std::ranges::none_of(text, [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

template <class Answer>
void check_start(const std::string& bytes) {
  Answer answer;
  if (!answer.ParseFromString(bytes)) {
    return;
  }
  if (const auto outcome = bulkhead::agent_client::check(answer)) {
    const bool failed = outcome->failure != bulkhead::agent_client::StartFailure::None;
    BH_CHECK(failed == (outcome->pid == 0));
    BH_CHECK(failed == !outcome->message.empty());
    BH_CHECK(is_printable(outcome->message) && outcome->message.size() <= 8192);
    BH_CHECK(outcome->phases.size() <= 64);
  }
}

bool is_bounded(const bulkhead::agent_client::Statistics& statistics) {
  constexpr std::uint64_t kMost = INT64_MAX;
  const auto are_bounded = [](const bulkhead::agent_client::Counters& counters) {
    return counters.size() <= 256 && std::ranges::all_of(counters, [](const auto& counter) {
             return is_printable(counter.first) && counter.second <= kMost;
           });
  };
  return are_bounded(statistics.processor) && are_bounded(statistics.memory) &&
         are_bounded(statistics.memory_events) && statistics.memory_bytes <= kMost &&
         statistics.processes <= kMost && statistics.block_devices.size() <= 256 &&
         statistics.interfaces.size() <= 64 &&
         std::ranges::all_of(statistics.interfaces, [](const auto& interface) {
           return is_printable(interface.name) && interface.name.size() <= 256 &&
                  interface.received.bytes <= kMost && interface.sent.bytes <= kMost;
         });
}

}  // namespace

// Whatever a guest answers: what passes is within bounds.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  using namespace bulkhead;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  check_start<agent::v1::StartResponse>(bytes);
  check_start<agent::v1::ExecResponse>(bytes);
  agent::v1::WaitResponse wait;
  if (wait.ParseFromString(bytes)) {
    if (const auto end = agent_client::check(wait)) {
      BH_CHECK(end->signal <= 64 && (end->signal == 0 || end->status == 128 + end->signal));
    }
  }
  agent::v1::ProcessesResponse processes;
  if (processes.ParseFromString(bytes)) {
    if (const auto pids = agent_client::check(processes)) {
      BH_CHECK(pids->size() <= 65536);
    }
  }
  agent::v1::StatisticsResponse statistics;
  if (statistics.ParseFromString(bytes)) {
    if (const auto checked = agent_client::check(statistics)) {
      BH_CHECK(is_bounded(*checked));
    }
  }
  return 0;
}
