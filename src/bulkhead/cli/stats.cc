#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/stats_lines.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/live_lines.h"
#include "bulkhead/os/process_list.h"
#include "bulkhead/runtime/container_record.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/ttrpc/client.h"

#include "containerd/cgroups/v2/metrics.pb.h"
#include "containerd/task/v2/task.ttrpc.h"

namespace bulkhead::cli {
namespace {

namespace task_api = containerd::task::v2;

using runtime::ContainerStatus;
using runtime::StoredContainer;

constexpr std::chrono::seconds kBetweenLooks{1};
/// Between the two looks that the first figures need.
constexpr std::chrono::milliseconds kFirstPause{500};
/// For all that are asked at once: one that does not answer does not hold the others up for long.
constexpr std::chrono::seconds kPatience{2};

/// The containers that are shown, as they were at the last look.
class Watched {
 public:
  static Result<Watched> create(const config::Paths& paths, const StatsOptions& options) {
    Watched watched(paths, options, BH_TRY(os::EventLoop::create()));
    const auto store = BH_TRY(open_containers(paths));
    for (const std::string& name : options.containers) {
      const StoredContainer container = BH_TRY(store.find(name));
      if (std::ranges::find(watched.named_, container.record.id) == watched.named_.end()) {
        watched.named_.push_back(container.record.id);
      }
    }
    return watched;
  }

  /// Asks every container that runs, all at once.
  Result<std::vector<StatsLine>> look() {
    const auto store = BH_TRY(open_containers(paths_));
    const std::vector<StoredContainer> shown = BH_TRY(choose(store));
    std::erase_if(peers_, [&](const auto& peer) {
      return std::ranges::none_of(
          shown, [&](const StoredContainer& one) { return one.record.id == peer.first; });
    });
    for (const StoredContainer& container : shown) {
      Peer& peer = peers_[container.record.id];
      peer.before = std::exchange(peer.now, std::nullopt);
      if (container.state.status == ContainerStatus::Running) {
        ask(store, container.record.id, peer);
      }
    }
    while (unanswered_ > 0) {
      BH_TRY(loop_->run_once(kPatience));
    }
    // Without it there is no figure of the host's memory.
    const auto processes = os::list_processes().value_or(std::vector<os::ListedProcess>());
    std::vector<StatsLine> lines;
    lines.reserve(shown.size());
    for (const StoredContainer& container : shown) {
      lines.push_back(line_of(container, processes));
    }
    return lines;
  }

  /// Containers that were asked for by name and are all gone.
  [[nodiscard]] bool is_over(const std::vector<StatsLine>& lines) const {
    return !named_.empty() && lines.empty();
  }

 private:
  struct Peer {
    std::unique_ptr<ttrpc::Client> client;
    std::optional<StatsSample> before;
    std::optional<StatsSample> now;
  };

  Watched(config::Paths paths, const StatsOptions& options, std::unique_ptr<os::EventLoop> loop)
      : paths_(std::move(paths)), all_(options.all), loop_(std::move(loop)) {}

  [[nodiscard]] Result<std::vector<StoredContainer>> choose(
      const runtime::ContainerStore& store) const {
    std::vector<StoredContainer> shown;
    if (named_.empty()) {
      shown = BH_TRY(store.list());
      if (!all_) {
        std::erase_if(shown, [](const StoredContainer& container) {
          return container.state.status != ContainerStatus::Running;
        });
      }
      return shown;
    }
    for (const std::string& id : named_) {
      auto container = store.load(id);
      if (container) {
        shown.push_back(*std::move(container));
      } else if (container.error().code() != ErrorCode::NotFound) {
        return std::move(container).error();
      }
    }
    return shown;
  }

  void ask(const runtime::ContainerStore& store, const std::string& id, Peer& peer) {
    if (peer.client == nullptr || !peer.client->is_open()) {
      auto client = ttrpc::Client::connect(*loop_, store.socket_path(id));
      if (!client) {
        return;  // it has just ended
      }
      peer.client = *std::move(client);
    }
    task_api::StatsRequest request;
    request.set_id(id);
    ++unanswered_;
    task_api::TaskClient(*peer.client)
        .stats(request, {.timeout = kPatience, .metadata = {}},
               [this, &peer](const Result<task_api::StatsResponse>& response) {
                 --unanswered_;
                 io::containerd::cgroups::v2::Metrics metrics;
                 if (response && metrics.ParseFromString(response->stats().value())) {
                   peer.now = make_sample(metrics, std::chrono::steady_clock::now());
                 }
               });
  }

  [[nodiscard]] StatsLine line_of(const StoredContainer& container,
                                  const std::vector<os::ListedProcess>& processes) const {
    const Peer& peer = peers_.at(container.record.id);
    StatsLine line{.id = container.record.id, .name = container.record.name, .sample = peer.now};
    if (peer.before && peer.now) {
      line.processor_percent =
          processor_percent(*peer.before, *peer.now, container.record.options.vcpus);
    }
    if (container.state.status == ContainerStatus::Running) {
      line.host_memory_bytes = host_memory(processes, container.state.shim_pid);
    }
    return line;
  }

  /// Of the shim and all that it has started: the virtual machine and its helpers.
  static std::optional<std::uint64_t> host_memory(const std::vector<os::ListedProcess>& processes,
                                                  pid_t shim) {
    if (std::ranges::find(processes, shim, &os::ListedProcess::pid) == processes.end()) {
      return std::nullopt;
    }
    std::uint64_t bytes = 0;
    for (const pid_t pid : os::process_tree(processes, shim)) {
      const auto memory = os::proportional_memory(pid);
      if (!memory && memory.error().code() != ErrorCode::NotFound) {
        return std::nullopt;
      }
      bytes += memory.value_or(0);
    }
    return bytes;
  }

  config::Paths paths_;
  bool all_;
  std::vector<std::string> named_;  ///< ids; empty: whatever runs
  std::unique_ptr<os::EventLoop> loop_;
  std::size_t unanswered_ = 0;
  std::map<std::string, Peer> peers_;  ///< by id; they go before the loop
};

/// Lines of a table, without the last newline's empty one.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (const std::string_view line : split(text, '\n')) {
    lines.emplace_back(line);
  }
  lines.pop_back();
  return lines;
}

class Output {
 public:
  explicit Output(const StatsOptions& options)
      : options_(options),
        lines_(STDOUT_FILENO),
        is_live_(!options.once && options.format == OutputFormat::Table &&
                 os::can_redraw(STDOUT_FILENO)) {}

  Result<> show(const std::vector<StatsLine>& lines) {
    if (options_.format == OutputFormat::Json) {
      std::string text;
      for (const StatsLine& line : lines) {
        text += stats_json(line) + "\n";
      }
      return os::write_all(STDOUT_FILENO, as_bytes(text));
    }
    const std::string table =
        stats_table(lines, options_.no_truncation ? IdLength::Whole : IdLength::Short);
    return is_live_ ? lines_.draw(lines_of(table)) : os::write_all(STDOUT_FILENO, as_bytes(table));
  }

 private:
  const StatsOptions& options_;
  os::LiveLines lines_;
  bool is_live_;
};

}  // namespace

Result<int> stats(const config::Paths& paths, const StatsOptions& options) {
  Watched watched = BH_TRY(Watched::create(paths, options));
  Output output(options);
  // What was used is told by two looks.
  std::vector<StatsLine> lines = BH_TRY(watched.look());
  if (!lines.empty()) {
    std::this_thread::sleep_for(kFirstPause);
    lines = BH_TRY(watched.look());
  }
  while (true) {
    BH_TRY(output.show(lines));
    if (options.once || watched.is_over(lines)) {
      return 0;
    }
    std::this_thread::sleep_for(kBetweenLooks);
    lines = BH_TRY(watched.look());
  }
}

}  // namespace bulkhead::cli
