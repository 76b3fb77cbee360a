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
  return 0;
}
