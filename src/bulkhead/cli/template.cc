#include <fcntl.h>
#include <sched.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/table.h"
#include "bulkhead/base/text.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/create.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/config/settings.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/runtime/options.h"
#include "bulkhead/runtime/standby_pool.h"
#include "bulkhead/runtime/template_maker.h"
#include "bulkhead/runtime/templates.h"
#include "bulkhead/store/content.h"

namespace bulkhead::cli {
namespace {

std::string to_json(const std::vector<runtime::TemplateRecord>& templates) {
  json::Array array;
  for (const runtime::TemplateRecord& one : templates) {
    json::Value value;
    value.set("id", one.key);
    value.set("cpus", one.shape.vcpus);
    value.set("memory", one.shape.memory_bytes);
    value.set("network", one.shape.has_network);
    value.set("size", one.bytes);
    value.set("created", format_rfc3339(one.created));
    value.set("last_used", format_rfc3339(one.last_used));
    array.push_back(std::move(value));
  }
  return json::write(array, json::Style::Pretty);
}

std::string to_table(const std::vector<runtime::TemplateRecord>& templates) {
  Table table({"TEMPLATE", "CPUS", "MEMORY", "NETWORK", "SIZE", "CREATED", "LAST USED"});
  for (const runtime::TemplateRecord& one : templates) {
    table.add({one.key, std::to_string(one.shape.vcpus), format_size(one.shape.memory_bytes),
               one.shape.has_network ? "yes" : "none", format_size(one.bytes),
               format_age(one.created) + " ago", format_age(one.last_used) + " ago"});
  }
  return table.text();
}

}  // namespace

Result<int> system_warm(const config::Paths& paths, const MachineOptions& options) {
  runtime::ContainerOptions machine = BH_TRY(machine_options(options));
  BH_TRY(machine.settle());
  const auto settings = BH_TRY(config::Settings::load());
  if (settings.template_budget_bytes == 0) {
    return fail(ErrorCode::FailedPrecondition,
                "{}: templates.budget is 0, so that none are made: raise it, or take it out",
                config::Settings::path());
  }
  // The TAP of a machine that nobody shall reach.
  const os::UniqueFd network = BH_TRY(os::open_file("/proc/self/ns/net", O_RDONLY));
  BH_TRY(os::unshare_namespaces(CLONE_NEWNET).context("network namespace"));
  const auto outcome =
      BH_TRY(runtime::make_template(paths,
                                    {.vcpus = machine.vcpus,
                                     .memory_bytes = machine.machine_memory_bytes(),
                                     .base_bytes = store::kRootFileUnit,
                                     .scratch_bytes = machine.scratch_bytes,
                                     .has_network = machine.network != "none"},
                                    settings.template_budget_bytes));
  fmt::print("{}\n", outcome.key);
  BH_TRY(os::join_namespaces(network.get(), CLONE_NEWNET).context("network namespace"));
  if (settings.standby_machines != 0) {
    std::ignore = BH_TRY(runtime::StandbyPool(paths).refill(machine, settings.standby_machines));
  }
  return 0;
}

Result<int> template_list(const config::Paths& paths, OutputFormat format) {
  const auto templates = BH_TRY(runtime::Templates(paths).list());
  fmt::print("{}", format == OutputFormat::Json ? to_json(templates) : to_table(templates));
  return 0;
}

Result<int> template_remove(const config::Paths& paths, const RemoveByIdOptions& options) {
  const runtime::Templates templates(paths);
  std::vector<std::string> keys;
  if (!options.all) {
    keys = options.ids;
  } else {
    for (const runtime::TemplateRecord& one : BH_TRY(templates.list())) {
      keys.push_back(one.key);
    }
  }
  for (const std::string& key : keys) {
    BH_TRY(templates.remove(key));
    fmt::print("{}\n", key);
  }
  return 0;
}

}  // namespace bulkhead::cli
