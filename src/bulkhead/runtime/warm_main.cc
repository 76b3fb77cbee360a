// bulkhead-warm VCPUS MEMORY BASE SCRATCH network|none data|none: makes the template of one shape
// (sizes in bytes; with or without what data disks need), unless there is one, somebody else is
// making it, or none are wanted.

#include <sched.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>

#include "bulkhead/base/error.h"
#include "bulkhead/base/log.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/config/settings.h"
#include "bulkhead/os/namespaces.h"
#include "bulkhead/runtime/template_maker.h"

namespace bulkhead::runtime {
namespace {

Result<TemplateRequest> parse(std::span<char*> arguments) {
  if (arguments.size() == 6) {
    const auto number = [&](std::size_t index) {
      return parse_decimal<std::uint64_t>(arguments[index]);
    };
    const auto vcpus = parse_decimal<std::uint32_t>(arguments[0]);
    const auto memory = number(1);
    const auto base = number(2);
    const auto scratch = number(3);
    if (vcpus && memory && base && scratch) {
      return TemplateRequest{.vcpus = *vcpus,
                             .memory_bytes = *memory,
                             .base_bytes = *base,
                             .scratch_bytes = *scratch,
                             .has_network = std::string_view(arguments[4]) == "network",
                             .takes_data_disks = std::string_view(arguments[5]) == "data"};
    }
  }
  return fail(ErrorCode::Invalid,
              "usage: bulkhead-warm VCPUS MEMORY BASE SCRATCH network|none data|none");
}

Result<> run(std::span<char*> arguments) {
  const TemplateRequest request = BH_TRY(parse(arguments));
  const auto settings = BH_TRY(config::Settings::load());
  if (settings.template_budget_bytes == 0) {
    return {};
  }
  // Nobody shall see the TAP, and nothing shall come from it.
  BH_TRY(os::unshare_namespaces(CLONE_NEWNET).context("network namespace"));
  const auto paths = BH_TRY(config::Paths::from_environment());
  std::ignore = BH_TRY(make_template(paths, request, settings.template_budget_bytes));
  return {};
}

}  // namespace
}  // namespace bulkhead::runtime

int main(int argc, char** argv) {
  const auto done =
      bulkhead::runtime::run(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (!done) {
    bulkhead::log::error("template: {}", done.error().message());
    return 1;
  }
  return 0;
}
