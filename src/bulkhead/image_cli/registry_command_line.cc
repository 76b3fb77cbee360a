#include "bulkhead/image_cli/registry_command_line.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bulkhead/base/result.h"
#include "bulkhead/image_cli/command_line.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/program/parse.h"

namespace bulkhead::image_cli {
namespace {

/// Everything that options are read into. It outlives parsing within the command.
struct Options {
  LoginOptions login;
  std::string registry = "docker.io";
  std::string format = "table";
  bool quiet = false;
};

class RegistryCommandLine {
 public:
  RegistryCommandLine() : options_(std::make_shared<Options>()) {
    app_.name("bulkhead");
    app_.require_subcommand(1);
    add_login(app_);
    add_logout(app_);
    CLI::App* group = app_.add_subcommand("registry", "Manage logins to registries");
    group->require_subcommand(1);
    add_login(*group);
    add_logout(*group);
    add_list(*group);
  }

  Result<std::variant<RegistryCommand, Help>> parse(int argc, const char* const* argv) {
    const std::string_view word = argc > 1 ? argv[1] : "registry";
    auto help = BH_TRY(program::parse(app_, argc, argv, fmt::format("bulkhead {}", word)));
    if (help) {
      return *std::move(help);
    }
    return std::move(command_);
  }

 private:
  void add_login(CLI::App& parent) {
    CLI::App* command = parent.add_subcommand("login", "Log in to a registry");
    command->add_option("REGISTRY", options_->login.registry,
                        "quay.io, host:5000; docker.io if not given");
    command->add_option("-u,--username", options_->login.user, "user name; asked for if not given");
    command->add_flag_callback(
        "--password-stdin",
        [options = options_.get()] { options->login.password_from = PasswordSource::Input; },
        "take the password from standard input");
    command->add_flag("--insecure", options_->login.insecure,
                      "speak http, or https without checking certificates, if need be");
    set_command(command, [](const Options& options) { return login(options.login); });
  }

  void add_logout(CLI::App& parent) {
    CLI::App* command = parent.add_subcommand("logout", "Forget the password for a registry");
    command->add_option("REGISTRY", options_->registry, "docker.io if not given");
    set_command(command, [](const Options& options) { return logout(options.registry); });
  }

  void add_list(CLI::App& parent) {
    CLI::App* command =
        parent.add_subcommand("list", "List the registries that passwords are kept for")
            ->alias("ls");
    command->add_option("--format", options_->format, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
    command->add_flag("-q,--quiet", options_->quiet, "only registries");
    set_command(command, [](const Options& options) {
      return list_logins(options.format == "json" ? ListFormat::Json
                         : options.quiet          ? ListFormat::Ids
                                                  : ListFormat::Table);
    });
  }

  template <class Run>
  void set_command(CLI::App* command, Run run) {
    command->callback(
        [this, run] { command_ = [options = options_, run] { return run(*options); }; });
  }

  CLI::App app_;
  std::shared_ptr<Options> options_;  ///< CLI11 writes it; the command reads it later
  RegistryCommand command_;
};

}  // namespace

bool is_registry_command(std::string_view word) {
  return word == "login" || word == "logout" || word == "registry";
}

Result<std::variant<RegistryCommand, Help>> parse_registry_command_line(int argc,
                                                                        const char* const* argv) {
  RegistryCommandLine command_line;
  return command_line.parse(argc, argv);
}

}  // namespace bulkhead::image_cli
