#include "bulkhead/shim/arguments.h"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/error.h"
#include "bulkhead/base/name.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

namespace bulkhead::shim {
namespace {

std::string* text_option(Arguments& arguments, std::string_view name) {
  if (name == "namespace") {
    return &arguments.name_space;
  }
  if (name == "id") {
    return &arguments.id;
  }
  if (name == "bundle") {
    return &arguments.bundle;
  }
  if (name == "address") {
    return &arguments.address;
  }
  if (name == "publish-binary") {
    return &arguments.publish_binary;
  }
  return nullptr;
}

Result<Action> parse_action(std::string_view text) {
  if (text == "start") {
    return Action::Start;
  }
  if (text == "delete") {
    return Action::Delete;
  }
  if (text == "serve") {
    return Action::Serve;
  }
  if (text == "stand-by") {
    return Action::StandBy;
  }
  return fail(ErrorCode::Invalid,
              "{}: not an action of this program: start, delete, serve, stand-by", quote(text));
}

}  // namespace

Result<Arguments> parse_arguments(std::span<const std::string_view> arguments) {
  Arguments parsed;
  std::size_t at = 0;
  for (; at < arguments.size() && arguments[at].starts_with('-'); ++at) {
    std::string_view name = arguments[at].substr(arguments[at].starts_with("--") ? 2 : 1);
    const auto equals = name.find('=');
    const bool has_value = equals != std::string_view::npos;
    const std::string_view value = has_value ? name.substr(equals + 1) : std::string_view();
    name = name.substr(0, equals);
    if (name == "v" || name == "version") {
      return Arguments{};
    }
    if (name == "debug") {
      parsed.debug = !has_value || value == "true";
      continue;
    }
    std::string* option = text_option(parsed, name);
    if (option == nullptr) {
      return fail(ErrorCode::Invalid, "option {}: not known", quote(arguments[at]));
    }
    if (has_value) {
      *option = value;
    } else if (++at < arguments.size()) {
      *option = arguments[at];
    } else {
      return fail(ErrorCode::Invalid, "option -{}: needs a value", name);
    }
  }
  if (at + 1 != arguments.size()) {
    return fail(ErrorCode::Invalid,
                "one action is expected after the options: start, delete, serve, stand-by");
  }
  parsed.action = BH_TRY(parse_action(arguments[at]));
  BH_TRY(validate_name("id", parsed.id));
  BH_TRY(validate_name("namespace", parsed.name_space));
  if (!parsed.bundle.empty() && !parsed.bundle.starts_with('/')) {
    return fail(ErrorCode::Invalid, "bundle {}: must be an absolute path", quote(parsed.bundle));
  }
  return parsed;
}

}  // namespace bulkhead::shim
