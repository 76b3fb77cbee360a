#include "bulkhead/runtime/container_record.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/runtime/options.h"

namespace bulkhead::runtime {
namespace {

constexpr int kVersion = 1;

/// These files are ours: whatever is wrong with one of them is damage.
template <class T>
Result<T> or_corrupt(Result<T> result) {
  if (!result) {
    return Error(ErrorCode::Corrupt, result.error().message());
  }
  return result;
}

Result<> check_version(const json::Fields& fields) {
  int version = 0;
  BH_TRY(fields.require("version", version));
  if (version != kVersion) {
    return fail(ErrorCode::Invalid, "{}: version {} is not known", fields.path(), version);
  }
  return {};
}

Result<> read_time(const json::Fields& fields, std::string_view name,
                   std::optional<WallTime>& out) {
  std::string text;
  BH_TRY(fields.read(name, text));
  if (!text.empty()) {
    out = BH_TRY(parse_rfc3339(text));
  }
  return {};
}

json::Value time_value(const std::optional<WallTime>& time) {
  return time ? json::Value(format_rfc3339(*time)) : json::Value();
}

Result<ContainerRecord> parse_record(std::string_view text) {
  const json::Value value = BH_TRY(json::parse(text, "container.json"));
  const json::Fields fields = BH_TRY(json::Fields::create(value, "container.json"));
  BH_TRY(check_version(fields));
  ContainerRecord record;
  BH_TRY(fields.require("id", record.id));
  BH_TRY(fields.require("name", record.name));
  BH_TRY(fields.read("image", record.image));
  BH_TRY(fields.read("image_digest", record.image_digest));
  BH_TRY(fields.read("image_id", record.image_id));
  BH_TRY(fields.require("root", record.root));
  std::optional<WallTime> created;
  BH_TRY(read_time(fields, "created", created));
  record.created = created.value_or(WallTime());
  BH_TRY(fields.read("command", record.command));
  BH_TRY(fields.read("labels", record.labels));
  BH_TRY(fields.read("stop_signal", record.stop_signal));
  BH_TRY(fields.read("auto_remove", record.auto_remove));
  if (const json::Value* options = fields.find("options")) {
    record.options = BH_TRY(ContainerOptions::from_json(*options));
  }
  return record;
}

Result<ContainerStatus> parse_status(std::string_view text) {
  for (const ContainerStatus status :
       {ContainerStatus::Created, ContainerStatus::Running, ContainerStatus::Stopped}) {
    if (text == to_string(status)) {
      return status;
    }
  }
  return fail(ErrorCode::Invalid, "state.json: status {} is not known", quote(text));
}

Result<ContainerState> parse_state(std::string_view text) {
  const json::Value value = BH_TRY(json::parse(text, "state.json"));
  const json::Fields fields = BH_TRY(json::Fields::create(value, "state.json"));
  BH_TRY(check_version(fields));
  ContainerState state;
  std::string status;
  BH_TRY(fields.require("status", status));
  state.status = BH_TRY(parse_status(status));
  BH_TRY(fields.read("shim_pid", state.shim_pid));
  BH_TRY(fields.read("vm_pid", state.vm_pid));
  BH_TRY(read_time(fields, "created_at", state.created_at));
  BH_TRY(read_time(fields, "started_at", state.started_at));
  BH_TRY(read_time(fields, "finished_at", state.finished_at));
  BH_TRY(fields.read("exit_code", state.exit_code));
  BH_TRY(fields.read("error", state.error));
  BH_TRY(fields.read("oom_killed", state.oom_killed));
  BH_TRY(fields.read("warm", state.warm));
  BH_TRY(fields.read("standby", state.standby));
  BH_TRY(fields.read("network", state.network));
  BH_TRY(fields.read("address", state.address));
  BH_TRY(fields.read("mac", state.mac));
  return state;
}

}  // namespace

std::string_view to_string(ContainerStatus status) {
  switch (status) {
    case ContainerStatus::Created:
      return "created";
    case ContainerStatus::Running:
      return "running";
    case ContainerStatus::Stopped:
      return "stopped";
  }
  return "unknown";
}

Result<ContainerRecord> ContainerRecord::parse(std::string_view text) {
  return or_corrupt(parse_record(text));
}

std::string ContainerRecord::serialise() const {
  json::Value value;
  value.set("version", kVersion);
  value.set("id", id);
  value.set("name", name);
  value.set("image", image);
  value.set("image_digest", image_digest);
  value.set("image_id", image_id);
  value.set("root", root);
  value.set("created", format_rfc3339(created));
  value.set("command", command);
  json::Value label_object{json::Object()};
  for (const auto& [key, text] : labels) {
    label_object.set(key, text);
  }
  value.set("labels", std::move(label_object));
  value.set("stop_signal", stop_signal);
  value.set("auto_remove", auto_remove);
  value.set("options", options.to_json());
  return json::write(value, json::Style::Pretty);
}

Result<ContainerState> ContainerState::parse(std::string_view text) {
  return or_corrupt(parse_state(text));
}

std::string ContainerState::serialise() const {
  json::Value value;
  value.set("version", kVersion);
  value.set("status", to_string(status));
  value.set("shim_pid", shim_pid);
  value.set("vm_pid", vm_pid);
  value.set("created_at", time_value(created_at));
  value.set("started_at", time_value(started_at));
  value.set("finished_at", time_value(finished_at));
  value.set("exit_code", exit_code);
  value.set("error", error);
  value.set("oom_killed", oom_killed);
  value.set("warm", warm);
  value.set("standby", standby);
  value.set("network", network);
  value.set("address", address);
  value.set("mac", mac);
  return json::write(value, json::Style::Pretty);
}

}  // namespace bulkhead::runtime
