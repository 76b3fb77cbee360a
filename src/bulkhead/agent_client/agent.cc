#include "bulkhead/agent_client/agent.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bulkhead/agent/v1/agent.pb.h"
#include "bulkhead/agent/v1/agent.ttrpc.h"
#include "bulkhead/agent_client/check.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/mux/connection.h"
#include "bulkhead/mux/rpc_transport.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/ttrpc/call.h"
#include "bulkhead/ttrpc/client.h"

namespace bulkhead::agent_client {
namespace {

ttrpc::CallOptions within(std::chrono::milliseconds timeout) {
  return {.timeout = timeout, .metadata = {}};
}

/// Turns a callback for a checked answer into one for the answer as it came.
template <class Response, class Checked>
std::move_only_function<void(Result<Response>)> checked(Agent::Done<Checked> done) {
  return [done = std::move(done)](Result<Response> response) mutable {
    if (!response) {
      done(std::move(response).error());
      return;
    }
    done(check(*response));
  };
}

/// The same for answers that say nothing but that it was done.
template <class Response>
std::move_only_function<void(Result<Response>)> plain(Agent::Done<void> done) {
  return [done = std::move(done)](Result<Response> response) mutable {
    if (!response) {
      done(std::move(response).error());
      return;
    }
    done({});
  };
}

}  // namespace

struct Agent::State {
  AgentTimeouts timeouts;
  AgentEvents events;
  mux::StreamId last_stream = mux::kRpcStream;
  bool lost = false;
  std::unique_ptr<mux::Connection> connection;
  std::unique_ptr<ttrpc::Client> client;

  agent::v1::AgentClient rpc() { return agent::v1::AgentClient(*client); }

  void lose(const Error& error) {
    if (!std::exchange(lost, true) && events.on_lost) {
      // It may destroy this object.
      auto callback = std::exchange(events.on_lost, nullptr);
      callback(error);
    }
  }
};

Result<std::unique_ptr<Agent>> Agent::create(os::EventLoop& loop, os::UniqueFd channel,
                                             AgentEvents events, AgentTimeouts timeouts) {
  auto state = std::make_unique<State>();
  State* raw = state.get();
  state->timeouts = timeouts;
  state->events = std::move(events);
  state->connection = BH_TRY(
      mux::Connection::create(loop, std::move(channel), mux::Role::Host,
                              {.on_ready =
                                   [raw] {
                                     if (raw->events.on_ready) {
                                       raw->events.on_ready();
                                     }
                                   },
                               .on_open = nullptr,
                               .on_broken = [raw](const Error& error) { raw->lose(error); }}));
  state->client = BH_TRY(ttrpc::Client::create(
      loop, mux::make_rpc_transport(state->connection->weak_session(), mux::kRpcStream,
                                    mux::StreamOrigin::Open)));
  // The guest may end the agent's stream alone: without it nothing more can be asked. When all of
  // the connection breaks, on_broken tells the cause.
  state->client->on_closed([raw](const Error& error) {
    if (raw->connection->session().is_ready()) {
      raw->lose(error);
    }
  });
  return std::unique_ptr<Agent>(new Agent(std::move(state)));
}

Agent::Agent(std::unique_ptr<State> state) : state_(std::move(state)) {}

Agent::~Agent() = default;

void Agent::on_lost(std::move_only_function<void(const Error&)> callback) {
  state_->events.on_lost = std::move(callback);
}

bool Agent::is_ready() const { return !state_->lost && state_->connection->session().is_ready(); }

std::weak_ptr<mux::Session> Agent::session() const { return state_->connection->weak_session(); }

mux::StreamId Agent::next_stream() { return state_->last_stream += 2; }

void Agent::prepare(const agent::v1::PrepareRequest& request, Done<void> done) {
  state_->rpc().prepare(request, within(state_->timeouts.start),
                        plain<agent::v1::PrepareResponse>(std::move(done)));
}

void Agent::rehearse(const agent::v1::StartRequest& request, Done<void> done) {
  state_->rpc().rehearse(request, within(state_->timeouts.start),
                         plain<agent::v1::RehearseResponse>(std::move(done)));
}

void Agent::start(const agent::v1::StartRequest& request, Done<StartOutcome> done) {
  state_->rpc().start(request, within(state_->timeouts.start),
                      checked<agent::v1::StartResponse>(std::move(done)));
}

void Agent::exec(const agent::v1::ExecRequest& request, Done<StartOutcome> done) {
  state_->rpc().exec(request, within(state_->timeouts.start),
                     checked<agent::v1::ExecResponse>(std::move(done)));
}

void Agent::wait(const std::string& exec_id, Done<ProcessEnd> done) {
  agent::v1::WaitRequest request;
  request.set_exec_id(exec_id);
  state_->rpc().wait(request, {}, checked<agent::v1::WaitResponse>(std::move(done)));
}

void Agent::signal(const std::string& exec_id, std::uint32_t signal, SignalScope scope,
                   Done<void> done) {
  agent::v1::SignalRequest request;
  request.set_exec_id(exec_id);
  request.set_signal(signal);
  request.set_all(scope == SignalScope::Container);
  state_->rpc().signal(request, within(state_->timeouts.control),
                       plain<agent::v1::SignalResponse>(std::move(done)));
}

void Agent::resize(const std::string& exec_id, std::uint32_t columns, std::uint32_t rows,
                   Done<void> done) {
  agent::v1::ResizeRequest request;
  request.set_exec_id(exec_id);
  request.set_columns(columns);
  request.set_rows(rows);
  state_->rpc().resize(request, within(state_->timeouts.control),
                       plain<agent::v1::ResizeResponse>(std::move(done)));
}

void Agent::processes(Done<std::vector<std::uint32_t>> done) {
  state_->rpc().processes({}, within(state_->timeouts.control),
                          checked<agent::v1::ProcessesResponse>(std::move(done)));
}

void Agent::statistics(Done<Statistics> done) {
  state_->rpc().statistics({}, within(state_->timeouts.control),
                           checked<agent::v1::StatisticsResponse>(std::move(done)));
}

void Agent::update(const agent::v1::Resources& limits, Done<void> done) {
  agent::v1::UpdateRequest request;
  *request.mutable_resources() = limits;
  state_->rpc().update(request, within(state_->timeouts.control),
                       plain<agent::v1::UpdateResponse>(std::move(done)));
}

void Agent::shutdown(Done<void> done) {
  state_->rpc().shutdown({}, within(state_->timeouts.shutdown),
                         plain<agent::v1::ShutdownResponse>(std::move(done)));
}

}  // namespace bulkhead::agent_client
