#include "bulkhead/cli/timing_report.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <ratio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/clock.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"

namespace bulkhead::cli {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

/// What people read where a mark's own name says too little.
std::string readable(const std::string& phase) {
  static const std::map<std::string, std::string> kNames = {
      {"qmp greeting", "QEMU has greeted on QMP"},
      {"agent hello", "kernel and init are up: the agent answers"},
      {"torn down", "teardown is done"},
      {"init", "kernel has booted, init begins"}};
  const auto found = kNames.find(phase);
  return found == kNames.end() ? phase : found->second;
}

std::string phase_of(const json::Value& mark) {
  const json::Value* phase = mark.find("phase");
  const std::string* text = phase == nullptr ? nullptr : phase->as_string();
  return text == nullptr ? std::string() : readable(*text);
}

std::chrono::nanoseconds time_of(const json::Value& mark, std::string_view name) {
  const json::Value* time = mark.find(name);
  return std::chrono::nanoseconds(time == nullptr ? 0
                                                  : time->as_integer<std::int64_t>().value_or(0));
}

}  // namespace

TimingReport::TimingReport() { mark("command line"); }

void TimingReport::mark(const std::string& phase) {
  marks_.emplace_back(phase, std::chrono::steady_clock::now());
}

void TimingReport::add_json(const std::string& text) {
  const auto document = json::parse(text, "timing");
  if (!document) {
    return;
  }
  if (const json::Value* host = document->find("host"); host != nullptr && host->as_array()) {
    for (const json::Value& entry : *host->as_array()) {
      marks_.emplace_back("shim: " + phase_of(entry),
                          SteadyTime(time_of(entry, "monotonic_nanoseconds")));
    }
  }
  if (const json::Value* guest = document->find("guest"); guest != nullptr && guest->as_array()) {
    for (const json::Value& entry : *guest->as_array()) {
      guest_.emplace_back(phase_of(entry), time_of(entry, "nanoseconds_since_boot"));
    }
  }
}

void TimingReport::print() const {
  auto marks = marks_;
  // A machine that stands by was made before anybody asked.
  const SteadyTime begin = marks.front().second;
  std::erase_if(marks, [begin](const auto& mark) { return mark.second < begin; });
  std::ranges::stable_sort(marks, {}, &std::pair<std::string, SteadyTime>::second);
  SteadyTime before = begin;
  fmt::print(stderr, "{:>10}  {:>9}  {}\n", "at", "took", "phase");
  for (const auto& [phase, when] : marks) {
    fmt::print(stderr, "{:7.1f} ms {:7.1f} ms  {}\n", Milliseconds(when - begin).count(),
               Milliseconds(when - before).count(), phase);
    before = when;
  }
  std::chrono::nanoseconds guest_before{0};
  for (const auto& [phase, since_boot] : guest_) {
    fmt::print(stderr, "{:7.1f} ms {:7.1f} ms  guest, since its boot: {}\n",
               Milliseconds(since_boot).count(), Milliseconds(since_boot - guest_before).count(),
               phase);
    guest_before = since_boot;
  }
}

}  // namespace bulkhead::cli
