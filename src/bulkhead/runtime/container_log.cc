#include "bulkhead/runtime/container_log.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/runtime/log_format.h"
#include "bulkhead/runtime/log_writer.h"

namespace bulkhead::runtime {
namespace {

constexpr std::chrono::milliseconds kLongestUnfinished{200};

}  // namespace

Result<std::unique_ptr<ContainerLog>> ContainerLog::open(os::EventLoop& loop, std::string path) {
  LogWriter writer = BH_TRY(LogWriter::open(std::move(path)));
  return std::unique_ptr<ContainerLog>(new ContainerLog(loop, std::move(writer)));
}

ContainerLog::~ContainerLog() {
  loop_.cancel(timer_);
  writer_.flush();
}

void ContainerLog::write(OutputStream stream, Bytes data) {
  writer_.write(stream, data, wall_now());
  if (timer_ == 0 && writer_.has_unfinished_line()) {
    timer_ = loop_.after(kLongestUnfinished, [this] {
      timer_ = 0;
      writer_.flush();
    });
  }
}

void ContainerLog::flush() {
  loop_.cancel(std::exchange(timer_, 0));
  writer_.flush();
}

}  // namespace bulkhead::runtime
