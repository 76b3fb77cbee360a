#pragma once

// A guest for tests: the other end of the agent's channel, in the same process and on the same
// loop. It does what the test says, also what no honest guest would.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent/v1/agent.ttrpc.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/mux/connection.h"
#include "bulkhead/mux/rpc_transport.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/server.h"
#include "bulkhead/ttrpc/service.h"

namespace bulkhead::agent_client {

class ScriptedGuest final : public agent::v1::AgentService {
 public:
  template <class T>
  using Respond = ttrpc::Responder<T>;

  ScriptedGuest(os::EventLoop& loop, os::UniqueFd channel) : server_(loop) {
    server_.add_service(*this);
    connection_ = *mux::Connection::create(loop, std::move(channel), mux::Role::Guest,
                                           {.on_ready = nullptr,
                                            .on_open = [this](mux::StreamId id) { on_open(id); },
                                            .on_broken = [this](const Error&) { broken = true; }});
  }

  // What the host asked.
  std::optional<agent::v1::PrepareRequest> prepared;
  std::optional<agent::v1::StartRequest> started;
  std::vector<agent::v1::ExecRequest> execs;
  std::vector<agent::v1::SignalRequest> signals;
  std::vector<agent::v1::ResizeRequest> sizes;
  std::vector<agent::v1::UpdateRequest> updates;
  bool was_shut_down = false;
  bool broken = false;

  // What it does. Without a script a start succeeds, and signals are obeyed by nobody.
  std::optional<agent::v1::StartRequest> rehearsed;
  std::optional<Error> rehearsal_error;
  std::function<void(Respond<agent::v1::StartResponse>)> on_start;
  std::function<void(Respond<agent::v1::ExecResponse>)> on_exec;
  std::function<void(Respond<agent::v1::SignalResponse>)> on_signal;
  std::function<void(Respond<agent::v1::ProcessesResponse>)> on_processes;
  std::function<void(Respond<agent::v1::StatisticsResponse>)> on_statistics;
  std::function<void(Respond<agent::v1::UpdateResponse>)> on_update;
  std::function<void(Respond<agent::v1::ShutdownResponse>)> on_shutdown;

  /// Those who wait, by exec id.
  std::map<std::string, Respond<agent::v1::WaitResponse>> waiting;

  /// Input by stream, and streams that have ended.
  std::map<std::uint32_t, std::string> received;
  std::set<std::uint32_t> ended;
  bool reads = true;

  void prepare(agent::v1::PrepareRequest request,
               Respond<agent::v1::PrepareResponse> respond) override {
    prepared = std::move(request);
    respond(agent::v1::PrepareResponse());
  }

  void rehearse(agent::v1::StartRequest request,
                Respond<agent::v1::RehearseResponse> respond) override {
    rehearsed = std::move(request);
    rehearsal_error ? respond(*rehearsal_error) : respond(agent::v1::RehearseResponse());
  }

  void start(agent::v1::StartRequest request, Respond<agent::v1::StartResponse> respond) override {
    started = std::move(request);
    if (on_start) {
      on_start(std::move(respond));
      return;
    }
    agent::v1::StartResponse response;
    response.set_pid(12);
    respond(response);
  }

  void exec(agent::v1::ExecRequest request, Respond<agent::v1::ExecResponse> respond) override {
    execs.push_back(std::move(request));
    if (on_exec) {
      on_exec(std::move(respond));
      return;
    }
    agent::v1::ExecResponse response;
    response.set_pid(13);
    respond(response);
  }

  void wait(agent::v1::WaitRequest request, Respond<agent::v1::WaitResponse> respond) override {
    waiting.emplace(request.exec_id(), std::move(respond));
  }

  void signal(agent::v1::SignalRequest request,
              Respond<agent::v1::SignalResponse> respond) override {
    signals.push_back(std::move(request));
    if (on_signal) {
      on_signal(std::move(respond));
      return;
    }
    respond(agent::v1::SignalResponse());
  }

  void resize(agent::v1::ResizeRequest request,
              Respond<agent::v1::ResizeResponse> respond) override {
    sizes.push_back(std::move(request));
    respond(agent::v1::ResizeResponse());
  }

  void processes(agent::v1::ProcessesRequest /*request*/,
                 Respond<agent::v1::ProcessesResponse> respond) override {
    if (on_processes) {
      on_processes(std::move(respond));
    }
  }

  void statistics(agent::v1::StatisticsRequest /*request*/,
                  Respond<agent::v1::StatisticsResponse> respond) override {
    if (on_statistics) {
      on_statistics(std::move(respond));
    }
  }

  void update(agent::v1::UpdateRequest request,
              Respond<agent::v1::UpdateResponse> respond) override {
    updates.push_back(std::move(request));
    if (on_update) {
      on_update(std::move(respond));
      return;
    }
    respond(agent::v1::UpdateResponse());
  }

  void shutdown(agent::v1::ShutdownRequest /*request*/,
                Respond<agent::v1::ShutdownResponse> respond) override {
    was_shut_down = true;
    if (on_shutdown) {
      on_shutdown(std::move(respond));
      return;
    }
    respond(agent::v1::ShutdownResponse());
  }

  /// Ends a process that the host waits for.
  void end(const std::string& exec_id, std::uint32_t exit_code, std::uint32_t signal = 0) {
    agent::v1::WaitResponse response;
    response.set_exit_code(exit_code);
    response.set_signal(signal);
    auto node = waiting.extract(exec_id);
    ASSERT_FALSE(node.empty());
    node.mapped()(response);
  }

  /// What fits of `text` into the stream's window and the output.
  std::size_t say(std::uint32_t stream, std::string_view text) {
    const auto written = connection_->session().write(stream, as_bytes(text));
    EXPECT_THAT(written, IsOk());
    return written.value_or(0);
  }

  void end_stream(std::uint32_t stream) { connection_->session().end(stream); }

  void reset_stream(std::uint32_t stream) { connection_->session().reset(stream); }

  /// The streams of the first process.
  [[nodiscard]] std::uint32_t out() const { return started->process().stdout_stream(); }

  [[nodiscard]] std::uint32_t err() const { return started->process().stderr_stream(); }

  [[nodiscard]] std::uint32_t in() const { return started->process().stdin_stream(); }

  /// Ends both outputs of the first process, as a guest does when it has ended.
  void end_outputs() {
    for (const std::uint32_t stream : {out(), err()}) {
      if (stream != 0) {
        end_stream(stream);
      }
    }
  }

  /// The channel closes, as when the machine is gone.
  void vanish() {
    server_.close();
    connection_.reset();
  }

 private:
  void on_open(mux::StreamId id) {
    if (id == mux::kRpcStream) {
      EXPECT_THAT(server_.serve(mux::make_rpc_transport(connection_->weak_session(), id,
                                                        mux::StreamOrigin::Attach)),
                  IsOk());
      return;
    }
    EXPECT_THAT(connection_->session().attach(id, {.on_data =
                                                       [this, id](Bytes bytes) {
                                                         received[id] += as_text(bytes);
                                                         if (reads) {
                                                           connection_->session().consume(
                                                               id, bytes.size());
                                                         }
                                                       },
                                                   .on_end = [this, id] { ended.insert(id); },
                                                   .on_writable = nullptr,
                                                   .on_reset = nullptr}),
                IsOk());
  }

  ttrpc::Server server_;
  std::unique_ptr<mux::Connection> connection_;
};

/// Runs the loop until `condition` holds, at most for half a minute.
template <class Condition>
void run_until(os::EventLoop& loop, Condition condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition() && std::chrono::steady_clock::now() < limit) {
    ASSERT_THAT(loop.run_once(std::chrono::milliseconds(100)), IsOk());
  }
  ASSERT_TRUE(condition());
}

}  // namespace bulkhead::agent_client
