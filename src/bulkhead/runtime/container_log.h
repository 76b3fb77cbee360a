#pragma once

#include <memory>
#include <string>
#include <utility>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/runtime/log_format.h"
#include "bulkhead/runtime/log_writer.h"

namespace bulkhead::runtime {

/// A LogWriter that does not keep an unfinished line (a prompt, a progress bar) for long.
class ContainerLog {
 public:
  static Result<std::unique_ptr<ContainerLog>> open(os::EventLoop& loop, std::string path);

  ContainerLog(const ContainerLog&) = delete;
  ContainerLog& operator=(const ContainerLog&) = delete;
  ~ContainerLog();

  void write(OutputStream stream, Bytes data);
  void flush();

 private:
  ContainerLog(os::EventLoop& loop, LogWriter writer) : loop_(loop), writer_(std::move(writer)) {}

  os::EventLoop& loop_;
  LogWriter writer_;
  os::EventLoop::TimerId timer_ = 0;
};

}  // namespace bulkhead::runtime
