#include "bulkhead/image_cli/registry_command_line.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bulkhead/base/result.h"
#include "bulkhead/image_cli/candidates.h"
#include "bulkhead/image_cli/command_line.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/program/parse.h"

namespace bulkhead::image_cli {
namespace {

/// Everything that options are read into. It outlives parsing within the command.
struct Options {
  LoginOptions login;
  std::string registry = "docker.io";
  RegistryOptions query;
  std::vector<std::string> references;
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
    CLI::App* group = app_.add_subcommand(
        "registry", "Log in to registries, and look at and delete what they hold");
    group->require_subcommand(1);
    add_login(*group);
    add_logout(*group);
    add_list(*group);
    add_tags(*group);
    add_catalog(*group);
    add_referrers(*group);
    add_delete(*group);
  }

  Result<std::variant<RegistryCommand, Help>> parse(int argc, const char* const* argv) {
    const std::string_view word = argc > 1 ? argv[1] : "registry";
    auto help = BH_TRY(program::parse(app_, argc, argv, fmt::format("bulkhead {}", word)));
    if (help) {
      return *std::move(help);
    }
    return std::move(command_);
  }

  [[nodiscard]] program::Completion complete(std::span<const std::string> words) const {
    return program::complete(app_, words, candidates);
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
    add_insecure(command, options_->login.insecure);
    command->footer(
        "Examples:\n  bulkhead login quay.io\n"
        "  bulkhead login -u me --password-stdin registry.example.com:5000 <password-file");
    set_command(command, [](const Options& options) { return login(options.login); });
  }

  void add_logout(CLI::App& parent) {
    CLI::App* command = parent.add_subcommand("logout", "Forget the password for a registry");
    command->add_option("REGISTRY", options_->registry, "docker.io if not given");
    command->footer("Example:\n  bulkhead logout quay.io");
    set_command(command, [](const Options& options) { return logout(options.registry); });
  }

  void add_list(CLI::App& parent) {
    CLI::App* command =
        parent.add_subcommand("list", "List the registries that passwords are kept for")
            ->alias("ls");
    add_format(command);
    command->add_flag("-q,--quiet", options_->quiet, "only registries");
    command->footer("Example:\n  bulkhead registry list --format json");
    set_command(command, [](const Options& options) { return list_logins(format_of(options)); });
  }

  void add_tags(CLI::App& parent) {
    CLI::App* command =
        parent.add_subcommand("tags", "List the tags of a repository")->alias("list-tags");
    command->add_option("REPOSITORY", options_->query.name, "alpine, quay.io/team/name")
        ->required();
    command->footer(
        "Examples:\n  bulkhead registry tags alpine\n"
        "  bulkhead registry tags --format json quay.io/team/name");
    add_query(command, list_tags);
  }

  void add_catalog(CLI::App& parent) {
    CLI::App* command = parent.add_subcommand(
        "catalog", "List the repositories of a registry, where it tells (Docker Hub does not)");
    command->add_option("REGISTRY", options_->query.name, "quay.io, host:5000")->required();
    command->add_option("--prefix", options_->query.filter, "only names that begin so")
        ->type_name("TEXT");
    command->footer("Example:\n  bulkhead registry catalog --prefix team/ localhost:5000");
    add_query(command, list_repositories);
  }

  void add_referrers(CLI::App& parent) {
    CLI::App* command = parent.add_subcommand(
        "referrers", "List what refers to an image: signatures, attestations, other artifacts");
    command->add_option("IMAGE", options_->query.name, "name:tag or name@digest")->required();
    command->add_option("--artifact-type", options_->query.filter, "only those of this type")
        ->type_name("TYPE");
    command->footer(
        "Examples:\n  bulkhead registry referrers quay.io/team/name:1\n"
        "  bulkhead registry referrers --artifact-type application/spdx+json quay.io/team/name:1");
    add_query(command, list_referrers);
  }

  void add_delete(CLI::App& parent) {
    CLI::App* command =
        parent
            .add_subcommand("delete",
                            "Delete images from a registry: by tag the tag alone, by digest the "
                            "manifest with all its tags")
            ->alias("rm");
    command->add_option("IMAGE", options_->references, "name:tag or name@digest")->required();
    add_insecure(command, options_->query.insecure);
    command->footer(
        "Examples:\n  bulkhead registry delete quay.io/team/name:old\n"
        "  bulkhead registry delete localhost:5000/name@sha256:…");
    set_command(command, [](const Options& options) {
      return delete_references(options.references, options.query.insecure);
    });
  }

  void add_query(CLI::App* command, Result<> (*run)(const RegistryOptions&)) {
    add_format(command);
    add_insecure(command, options_->query.insecure);
    set_command(command, [run](const Options& options) {
      RegistryOptions query = options.query;
      query.format = format_of(options);
      return run(query);
    });
  }

  void add_format(CLI::App* command) {
    command->add_option("--format", options_->format, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
  }

  static ListFormat format_of(const Options& options) {
    return options.format == "json" ? ListFormat::Json
           : options.quiet          ? ListFormat::Ids
                                    : ListFormat::Table;
  }

  static void add_insecure(CLI::App* command, bool& is_insecure) {
    command->add_flag("--insecure", is_insecure,
                      "speak http, or https without checking certificates, if need be");
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

Result<> print_registry_candidates(std::span<const std::string> words) {
  const RegistryCommandLine command_line;
  return program::print_completion(command_line.complete(words));
}

}  // namespace bulkhead::image_cli
