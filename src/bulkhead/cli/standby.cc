#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/containers.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/runtime/standby_pool.h"

namespace bulkhead::cli {
namespace {

const char* status_of(const runtime::StandbyRecord& one) {
  return one.is_ready ? "ready" : "starting";
}

std::string to_json(const std::vector<runtime::StandbyRecord>& machines) {
  json::Array array;
  for (const runtime::StandbyRecord& one : machines) {
    json::Value value;
    value.set("id", one.id);
    value.set("status", status_of(one));
    value.set("cpus", one.options.vcpus);
    value.set("memory", one.options.memory_bytes);
    value.set("network", one.options.network);
    value.set("since", format_rfc3339(one.since));
    array.push_back(std::move(value));
  }
  return json::write(array, json::Style::Pretty);
}

std::string to_table(const std::vector<runtime::StandbyRecord>& machines) {
  Table table({"MACHINE", "CPUS", "MEMORY", "NETWORK", "STATUS", "SINCE"});
  for (const runtime::StandbyRecord& one : machines) {
    table.add({one.id.substr(0, kShortId), std::to_string(one.options.vcpus),
               format_size(one.options.memory_bytes), one.options.network, status_of(one),
               format_age(one.since) + " ago"});
  }
  return table.text();
}

}  // namespace

Result<int> standby_list(const config::Paths& paths, OutputFormat format) {
  const runtime::StandbyPool pool(paths);
  const auto machines = BH_TRY(pool.list());
  fmt::print("{}", format == OutputFormat::Json ? to_json(machines) : to_table(machines));
  if (const std::string failure = pool.last_failure(); machines.empty() && !failure.empty()) {
    print_error(fail(ErrorCode::Unavailable, "the last one: {}", failure));
  }
  return 0;
}

Result<int> standby_remove(const config::Paths& paths, const RemoveByIdOptions& options) {
  const runtime::StandbyPool pool(paths);
  std::vector<std::string> ids;
  if (!options.all) {
    ids = options.ids;
  } else {
    for (const runtime::StandbyRecord& one : BH_TRY(pool.list())) {
      ids.push_back(one.id);
    }
  }
  for (const std::string& id : ids) {
    BH_TRY(pool.remove(id));
    fmt::print("{}\n", id);
  }
  return 0;
}

}  // namespace bulkhead::cli
