#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/cli/session.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/spec.h"
#include "bulkhead/runtime/container_store.h"
#include "bulkhead/runtime/options.h"

#include "containerd/task/v2/task.ttrpc.h"

namespace bulkhead::cli {
namespace {

constexpr std::string_view kResourcesType =
    "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
/// The guest takes memory back for seconds before it refuses.
constexpr std::chrono::seconds kPatience{30};

/// The container that runs now.
Result<> change_running(const runtime::ContainerStore& store, const std::string& id,
                        std::uint64_t memory_bytes) {
  const auto session = BH_TRY(
      Session::open(store.socket_path(id), {.container = id, .exec = {}}, SignalMode::Leave));
  oci::Resources resources;
  resources.memory_limit_bytes = static_cast<std::int64_t>(memory_bytes);
  containerd::task::v2::UpdateTaskRequest request;
  request.set_id(id);
  request.mutable_resources()->set_type_url(std::string(kResourcesType));
  request.mutable_resources()->set_value(BH_TRY(resources.serialise()));
  const auto updated = session->task().update_and_wait(request, {.timeout = kPatience});
  return updated ? Result<>() : updated.error();
}

Result<> update_one(runtime::ContainerStore& store, const runtime::StoredContainer& container,
                    std::uint64_t memory_bytes) {
  const std::string& id = container.record.id;
  runtime::ContainerOptions options = container.record.options;
  options.memory_bytes = memory_bytes;
  BH_TRY(options.settle());
  if (store.has_shim(id)) {
    BH_TRY(change_running(store, id, options.memory_bytes));
  }
  return store.change_options(
      id, [&](runtime::ContainerOptions& stored) { stored.memory_bytes = options.memory_bytes; });
}

}  // namespace

Result<int> update(const config::Paths& paths, const UpdateOptions& options) {
  const std::uint64_t memory_bytes = BH_TRY(parse_size(options.memory).context("--memory"));
  if (memory_bytes == 0) {
    return fail(ErrorCode::Invalid, "--memory {}: must be more than 0", options.memory);
  }
  auto store = BH_TRY(open_containers(paths));
  return for_each_container(store, options.containers, NameOutput::Print,
                            [&](const runtime::StoredContainer& container) {
                              return update_one(store, container, memory_bytes)
                                  .context("container " + container.record.name);
                            });
}

}  // namespace bulkhead::cli
