#include "bulkhead/cli/signal_name.h"

#include <cctype>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::cli {
namespace {

// The kernel's numbers: libc keeps the first two real-time signals for itself.
constexpr int kFirstRealTime = 34;
constexpr int kLastSignal = 64;

}  // namespace

Result<int> parse_signal(std::string_view text) {
  if (const auto number = parse_decimal<int>(text)) {
    if (*number >= 1 && *number <= kLastSignal) {
      return *number;
    }
    return fail(ErrorCode::Invalid, "signal {}: not from 1 to {}", *number, kLastSignal);
  }
  std::string name;
  for (const char c : text) {
    name.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  if (name.starts_with("SIG")) {
    name.erase(0, 3);
  }
  for (int signal = 1; signal < kFirstRealTime; ++signal) {
    const char* abbreviation = ::sigabbrev_np(signal);
    if (abbreviation != nullptr && name == abbreviation) {
      return signal;
    }
  }
  if (name.starts_with("RTMIN")) {
    const std::string_view rest = std::string_view(name).substr(5);
    const auto offset = rest.starts_with('+') ? parse_decimal<int>(rest.substr(1)) : 0;
    if ((rest.empty() || rest.starts_with('+')) && offset && *offset >= 0 &&
        kFirstRealTime + *offset <= kLastSignal) {
      return kFirstRealTime + *offset;
    }
  }
  if (name == "RTMAX") {
    return kLastSignal;
  }
  return fail(ErrorCode::Invalid, "signal {}: unknown", quote(text));
}

std::vector<std::string> signal_names() {
  std::vector<std::string> names;
  for (int signal = 1; signal < kFirstRealTime; ++signal) {
    if (const char* abbreviation = ::sigabbrev_np(signal)) {
      names.emplace_back(abbreviation);
    }
  }
  return names;
}

}  // namespace bulkhead::cli
