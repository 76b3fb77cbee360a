#include "bulkhead/cli/command_line.h"

#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/candidates.h"
#include "bulkhead/cli/commands.h"
#include "bulkhead/cli/mounts.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/program/complete.h"

namespace bulkhead::cli {
namespace {

constexpr int kRuntimeFailure = 125;

using Action = std::move_only_function<Result<int>(const config::Paths&)>;

/// What a command does that is a program of its own.
using RunProgram = Result<int> (*)(const config::Paths& paths,
                                   const std::vector<std::string>& arguments);

/// Adds commands to the tree; the one that was given on the command line leaves its action here.
class Tree {
 public:
  explicit Tree(CLI::App& app) : app_(app) {}

  /// A command with options of type O, filled while parsing, handed to `function`.
  template <class O, class Function>
  CLI::App* command(CLI::App& parent, const std::string& name, const std::string& description,
                    std::shared_ptr<O> options, Function function, int failure_status = 1) {
    CLI::App* sub = parent.add_subcommand(name, description);
    sub->callback([this, options = std::move(options), function, failure_status] {
      selected_.failure_status = failure_status;
      selected_.action = [options, function](const config::Paths& paths) {
        return function(paths, *options);
      };
    });
    return sub;
  }

  CLI::App& app() { return app_; }

  /// The program behind a command, and the words that go before those of the user.
  struct Program {
    RunProgram run = nullptr;
    std::vector<std::string> words;
  };

  void set_program(const std::string& name, Program program) {
    programs_.emplace(name, std::move(program));
  }

  /// Nothing for a command of this tree.
  [[nodiscard]] const Program* program(const std::string& name) const {
    const auto found = programs_.find(name);
    return found != programs_.end() ? &found->second : nullptr;
  }

  Command take() && { return std::move(selected_); }

 private:
  CLI::App& app_;
  Command selected_;
  std::map<std::string, Program> programs_;
};

void add_format(CLI::App& sub, OutputFormat& format) {
  sub.add_option_function<std::string>(
         "--format",
         [&format](const std::string& text) {
           format = text == "json" ? OutputFormat::Json : OutputFormat::Table;
         },
         "table or json")
      ->transform(CLI::IsMember({"table", "json"}, CLI::ignore_case))
      ->type_name("FORMAT");
}

/// Everything from the first word that is no option on is the container's: as docker has it.
void rest_is_command(CLI::App& sub) { sub.prefix_command(); }

void add_process_options(CLI::App& sub, ProcessOptions& process) {
  sub.add_option("-e,--env", process.environment, "Set K=V, or pass K on from here")
      ->type_name("K[=V]")
      ->take_all()
      ->allow_extra_args(false);
  sub.add_option("--env-file", process.environment_files, "Read K=V lines from a file")
      ->type_name("FILE")
      ->allow_extra_args(false);
  sub.add_option("-w,--workdir", process.working_directory, "Working directory")->type_name("DIR");
  sub.add_option("-u,--user", process.user, "User, by name or number, with an optional :group")
      ->type_name("USER");
  sub.add_flag_callback(
      "-i,--interactive", [&process] { process.input = InputMode::Keep; },
      "Pass standard input on");
  sub.add_flag_callback(
      "-t,--tty", [&process] { process.terminal = TerminalMode::Allocate; }, "Give a terminal");
}

void add_machine_options(CLI::App& sub, MachineOptions& machine) {
  sub.add_option("--network", machine.network, "bulkhead (the default bridge) or none")
      ->type_name("NETWORK");
  sub.add_option("-m,--memory", machine.memory, "Memory of the virtual machine")
      ->type_name("SIZE")
      ->capture_default_str();
  sub.add_option("-c,--cpus", machine.cpus, "CPUs; two, or as many as the host has, if not given")
      ->type_name("N");
  sub.add_option("--scratch-size", machine.scratch_size, "Size of the writable layer, sparse")
      ->type_name("SIZE")
      ->capture_default_str();
}

void add_mount_options(CLI::App& sub, MountOptions& mounts) {
  sub.add_option(
         "-v,--volume", mounts.volumes,
         "Share a directory or file of the host; options: ro, bind (without what is mounted "
         "below), nosuid, noexec")
      ->type_name("HOST:CONTAINER[:OPTIONS]")
      ->allow_extra_args(false);
  sub.add_option("--mount", mounts.mounts,
                 "The same in words: type=bind,source=HOST,target=CONTAINER[,readonly], or "
                 "type=tmpfs,target=CONTAINER[,tmpfs-size=SIZE]")
      ->type_name("FIELDS")
      ->allow_extra_args(false);
  sub.add_option("--tmpfs", mounts.tmpfs, "A directory in the machine's memory")
      ->type_name("CONTAINER[:OPTIONS]")
      ->allow_extra_args(false);
  sub.add_option("--disk", mounts.disks, "A disk: an ext4 image, as disk create makes it")
      ->type_name("FILE:CONTAINER[:ro]")
      ->allow_extra_args(false);
}

void add_create_options(CLI::App& sub, CreateOptions& create) {
  add_process_options(sub, create.process);
  sub.add_option("--name", create.name, "Name of the container; made up if not given");
  sub.add_option("--entrypoint", create.entrypoint, "Program to run instead of the image's");
  sub.add_option("--hostname", create.hostname,
                 "Host name; the first 12 digits of the id if not given");
  add_machine_options(sub, create.machine);
  add_mount_options(sub, create.mounts);
  sub.add_option("--dns", create.dns_servers, "Name server instead of the host's")
      ->allow_extra_args(false);
  sub.add_option("-l,--label", create.labels, "Label K=V")
      ->type_name("K[=V]")
      ->allow_extra_args(false);
  sub.add_option("--pull", create.pull, "When to pull the image: always, missing, never")
      ->check(CLI::IsMember({"always", "missing", "never"}))
      ->capture_default_str();
  sub.add_option("--progress", create.pull_progress, "How a pull is shown: auto, tty, plain, none")
      ->check(CLI::IsMember({"auto", "tty", "plain", "none"}))
      ->capture_default_str();
  sub.add_option("--max-concurrent-downloads", create.layers_at_once,
                 "Layers that a pull fetches at the same time")
      ->type_name("N")
      ->check(CLI::Range(1U, 64U))
      ->capture_default_str();
  sub.add_flag("--read-only", create.read_only, "Make the root file system read-only");
  sub.add_flag("--rm", create.remove, "Remove the container when it ends");
  sub.add_flag("--insecure", create.insecure_registry,
               "Speak http, or https without checking certificates, to the registry");
  sub.add_flag("--cold", create.cold, "Boot the machine, even where there is a template of it")
      ->envname("BULKHEAD_COLD");
  sub.add_flag("--timing", create.timing, "Print where the time went, phase by phase, on stderr");
  rest_is_command(sub);
}

/// IMAGE [ARG…] from what followed the options.
void take_image(const CLI::App& sub, CreateOptions& create) {
  std::vector<std::string> rest = sub.remaining();
  if (rest.empty()) {
    throw CLI::RequiredError("IMAGE");
  }
  create.image = rest.front();
  create.arguments.assign(rest.begin() + 1, rest.end());
}

void add_run(Tree& tree) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* sub = tree.command(tree.app(), "run", "Run a command in a new container", options, run,
                               kRuntimeFailure);
  add_create_options(*sub, options->create);
  sub->add_flag("-d,--detach", options->detach, "Run in the background and print the id");
  program::name_arguments(*sub, "bulkhead", "IMAGE [ARG…]");
  sub->footer(
      "Examples:\n"
      "  bulkhead run --rm -it debian bash\n"
      "  bulkhead run -d --name web -m 512m nginx\n"
      "  bulkhead run --rm -v ./src:/src:ro -w /src debian make\n"
      "  tar c . | bulkhead run --rm -i debian tar t");
  sub->parse_complete_callback([sub, options] { take_image(*sub, options->create); });
}

void add_create(Tree& tree) {
  auto options = std::make_shared<CreateOptions>();
  CLI::App* sub = tree.command(tree.app(), "create", "Make a container without starting it",
                               options, create, kRuntimeFailure);
  add_create_options(*sub, *options);
  program::name_arguments(*sub, "bulkhead", "IMAGE [ARG…]");
  sub->footer("Example:\n  bulkhead create --name web nginx && bulkhead start web");
  sub->parse_complete_callback([sub, options] { take_image(*sub, *options); });
}

void add_exec(Tree& tree) {
  auto options = std::make_shared<ExecOptions>();
  CLI::App* sub = tree.command(tree.app(), "exec", "Run another command in a running container",
                               options, exec, kRuntimeFailure);
  add_process_options(*sub, options->process);
  sub->add_flag("-d,--detach", options->detach, "Do not wait for the command");
  rest_is_command(*sub);
  program::name_arguments(*sub, "bulkhead", "CONTAINER COMMAND [ARG…]");
  sub->footer("Examples:\n  bulkhead exec -it web sh\n  bulkhead exec -u nobody web id");
  sub->parse_complete_callback([sub, options] {
    std::vector<std::string> rest = sub->remaining();
    if (rest.size() < 2) {
      throw CLI::RequiredError(rest.empty() ? "CONTAINER" : "COMMAND");
    }
    options->container = rest.front();
    options->arguments.assign(rest.begin() + 1, rest.end());
  });
}

void add_list(Tree& tree) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* sub = tree.command(tree.app(), "list", "List containers", options, list);
  sub->alias("ls")->alias("ps");
  sub->add_flag("-a,--all", options->all, "Stopped ones too");
  sub->add_flag("-q,--quiet", options->quiet, "Ids only");
  sub->add_flag("--no-trunc", options->no_truncation, "Whole ids and commands");
  add_format(*sub, options->format);
  sub->footer("Examples:\n  bulkhead list -a\n  bulkhead list --format json");
}

template <class O>
CLI::App* add_on_containers(Tree& tree, const std::string& name, const std::string& description,
                            const std::shared_ptr<O>& options,
                            Result<int> (*function)(const config::Paths&, const O&)) {
  CLI::App* sub = tree.command(tree.app(), name, description, options, function);
  sub->add_option("CONTAINER", options->containers, "Names, ids or beginnings of ids")->required();
  return sub;
}

void add_life_cycle(Tree& tree) {
  auto start_options = std::make_shared<StartOptions>();
  CLI::App* start_command =
      add_on_containers(tree, "start", "Start stopped containers", start_options, start);
  start_command->add_flag("-a,--attach", start_options->attach, "Pass output and signals on");
  start_command->add_flag("-i,--interactive", start_options->interactive, "Pass standard input on");
  start_command->footer("Example:\n  bulkhead start -a web");

  auto stop_options = std::make_shared<StopOptions>();
  CLI::App* stop_command = add_on_containers(
      tree, "stop", "Stop containers: the stop signal, then SIGKILL", stop_options, stop);
  stop_command
      ->add_option_function<std::int64_t>(
          "-t,--time",
          [options = stop_options.get()](std::int64_t seconds) {
            options->timeout = std::chrono::seconds(seconds);
          },
          "Seconds until SIGKILL (10)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{86400}))
      ->type_name("SECONDS");
  stop_command->footer("Example:\n  bulkhead stop -t 2 web");

  auto kill_options = std::make_shared<KillOptions>();
  CLI::App* kill_command =
      add_on_containers(tree, "kill", "Send a signal to containers", kill_options, kill);
  kill_command->add_option("-s,--signal", kill_options->signal, "Name or number")
      ->type_name("SIGNAL")
      ->capture_default_str();
  kill_command->footer("Example:\n  bulkhead kill -s HUP web");

  auto update_options = std::make_shared<UpdateOptions>();
  CLI::App* update_command = add_on_containers(
      tree, "update", "Change how much memory containers may use", update_options, update);
  update_command->add_option("-m,--memory", update_options->memory, "New limit")
      ->type_name("SIZE")
      ->required();
  update_command->footer(
      "A container that runs has it at once, up to what its machine was started with (the next\n"
      "power of two of its first limit); every later start has a machine for it. A limit below "
      "what\n"
      "is in use, and cannot be given back, is refused.\n\n"
      "Examples:\n"
      "  bulkhead update -m 300m web\n"
      "  bulkhead stop web && bulkhead update -m 2g web && bulkhead start web");

  auto remove_options = std::make_shared<RemoveOptions>();
  CLI::App* remove_command =
      add_on_containers(tree, "rm", "Remove containers", remove_options, remove);
  remove_command->add_flag("-f,--force", remove_options->force,
                           "Running ones too; they are killed");
  remove_command->footer("Example:\n  bulkhead rm -f web");

  auto waited = std::make_shared<std::vector<std::string>>();
  CLI::App* wait_command = tree.command(
      tree.app(), "wait", "Wait for containers and print their exit statuses", waited, wait);
  wait_command->add_option("CONTAINER", *waited, "Names, ids or beginnings of ids")->required();

  auto inspected = std::make_shared<std::vector<std::string>>();
  CLI::App* inspect_command = tree.command(
      tree.app(), "inspect", "Show everything about containers, as json", inspected, inspect);
  inspect_command->add_option("CONTAINER", *inspected, "Names, ids or beginnings of ids")
      ->required();
}

void add_logs(Tree& tree) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* sub = tree.command(tree.app(), "logs", "Print what a container wrote", options, logs);
  sub->add_option("CONTAINER", options->container, "Name, id or beginning of the id")->required();
  sub->add_flag("-f,--follow", options->follow, "Go on until the container ends");
  sub->add_flag("-t,--timestamps", options->timestamps, "Begin each line with its time");
  sub->add_option("-n,--tail", options->tail, "Only the last N lines")
      ->type_name("N")
      ->capture_default_str();
  sub->footer("Example:\n  bulkhead logs -f --tail 10 web");
}

void add_export(Tree& tree) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* sub = tree.command(tree.app(), "export",
                               "Write the files of a container that does not run as a tar", options,
                               export_container);
  sub->add_option("CONTAINER", options->container, "Name, id or beginning of the id")->required();
  sub->add_option("-o,--output", options->output, "File; - is standard output")
      ->type_name("FILE")
      ->default_val("-");
  sub->footer(
      "What is mounted in it (volumes, /proc) is left out.\n\n"
      "Examples:\n"
      "  bulkhead export -o web.tar web\n"
      "  bulkhead export web | tar -t\n"
      "  bulkhead image import web.tar localhost/web:now");
}

void add_stats(Tree& tree) {
  auto options = std::make_shared<StatsOptions>();
  CLI::App* sub = tree.command(tree.app(), "stats",
                               "Show what containers use, and what they take of the host's memory",
                               options, stats);
  sub->add_option("CONTAINER", options->containers,
                  "Names, ids or beginnings of ids; whatever runs if not given");
  sub->add_flag("-a,--all", options->all, "Stopped ones too");
  sub->add_flag("--no-stream", options->once, "Once, and not every second until interrupted");
  sub->add_flag("--no-trunc", options->no_truncation, "Whole ids");
  add_format(*sub, options->format);
  sub->footer(
      "HOST MEM is what the virtual machine and its helpers take of the host's memory (PSS); the\n"
      "other columns are the container's own, as its machine's kernel counts them. With\n"
      "--format json each container is one object a line.\n\n"
      "Examples:\n"
      "  bulkhead stats\n"
      "  bulkhead stats --no-stream --format json web");
}

/// A command that is a program of its own, with its own help: everything goes to it. `words` come
/// before what the user gave.
void add_program(Tree& tree, const std::string& name, const std::string& description,
                 RunProgram run, const std::vector<std::string>& words = {}) {
  tree.set_program(name, {.run = run, .words = words});
  auto arguments = std::make_shared<std::vector<std::string>>();
  CLI::App* sub = tree.command(tree.app(), name, description, arguments, run);
  sub->set_help_flag();
  sub->prefix_command();
  sub->parse_complete_callback([sub, arguments, words] {
    *arguments = words;
    const std::vector<std::string> rest = sub->remaining();
    arguments->insert(arguments->end(), rest.begin(), rest.end());
  });
}

/// What is listed by its ids, and removed by them.
struct Listed {
  std::string command;      ///< "bulkhead system template"
  std::string placeholder;  ///< "TEMPLATE"
  std::string list_description;
  std::string remove_description;
  std::string example_id;
};

void add_list_and_removal(Tree& tree, CLI::App& parent, const Listed& listed,
                          Result<int> (*list_function)(const config::Paths&, OutputFormat),
                          Result<int> (*remove_function)(const config::Paths&,
                                                         const RemoveByIdOptions&)) {
  parent.require_subcommand(1);
  auto format = std::make_shared<OutputFormat>(OutputFormat::Table);
  CLI::App* list =
      tree.command(parent, "list", listed.list_description, format, list_function)->alias("ls");
  add_format(*list, *format);
  auto options = std::make_shared<RemoveByIdOptions>();
  CLI::App* remove =
      tree.command(parent, "rm", listed.remove_description, options, remove_function);
  remove->footer(
      fmt::format("Examples:\n  {0} rm {1}\n  {0} rm --all", listed.command, listed.example_id));
  remove->add_option(listed.placeholder, options->ids,
                     fmt::format("Ids, as {} list shows them", parent.get_name()));
  remove->add_flag("-a,--all", options->all, "All of them");
  remove->parse_complete_callback([options, listed] {
    if (options->ids.empty() && !options->all) {
      throw CLI::RequiredError(
          fmt::format("{} (as `{} list` shows it) or --all", listed.placeholder, listed.command));
    }
  });
}

void add_system(Tree& tree) {
  CLI::App* system = tree.app().add_subcommand("system", "About this installation");
  system->require_subcommand(1);
  auto format = std::make_shared<OutputFormat>(OutputFormat::Table);
  CLI::App* info = tree.command(*system, "info", "Accelerator, versions, directories, networks",
                                format, system_info);
  add_format(*info, *format);
  auto df_format = std::make_shared<OutputFormat>(OutputFormat::Table);
  CLI::App* df = tree.command(*system, "df", "What images, containers and templates take on disk",
                              df_format, system_df);
  add_format(*df, *df_format);

  auto warm_options = std::make_shared<MachineOptions>();
  CLI::App* warm = tree.command(*system, "warm", "Make the template that containers start from",
                                warm_options, system_warm);
  add_machine_options(*warm, *warm_options);
  warm->footer(
      "The first container of a size leaves a template behind by itself; this makes it before.\n\n"
      "Examples:\n"
      "  bulkhead system warm\n"
      "  bulkhead system warm -m 512m -c 1");

  CLI::App* templates =
      system->add_subcommand("template", "Saved machines that containers start from");
  add_list_and_removal(tree, *templates,
                       {.command = "bulkhead system template",
                        .placeholder = "TEMPLATE",
                        .list_description = "List templates",
                        .remove_description = "Remove templates; containers are not touched",
                        .example_id = "1f0c6a2b9d3e4587"},
                       template_list, template_remove);

  CLI::App* standby = system->add_subcommand("standby", "Machines that wait for their container");
  standby->footer(
      "With [standby] machines = 1 in the configuration, a machine waits for each next `bulkhead "
      "run`,\n"
      "which then takes a fraction of the time. Each takes the memory of an idle container.");
  add_list_and_removal(tree, *standby,
                       {.command = "bulkhead system standby",
                        .placeholder = "MACHINE",
                        .list_description = "List machines that stand by",
                        .remove_description = "End machines that stand by",
                        .example_id = "1f0c6a2b9d3e"},
                       standby_list, standby_remove);
}

void add_network(Tree& tree) {
  CLI::App* network =
      tree.app().add_subcommand("network", "Show and remove the networks of containers");
  network->require_subcommand(1);
  network->footer(
      "The network \"bulkhead\", a bridge with NAT, is made when a container first needs it.");

  auto list_options = std::make_shared<NetworkListOptions>();
  CLI::App* list =
      tree.command(*network, "list", "List networks", list_options, network_list)->alias("ls");
  list->add_flag("-q,--quiet", list_options->quiet, "Names only");
  add_format(*list, list_options->format);
  list->footer("Examples:\n  bulkhead network list\n  bulkhead network list --format json");

  auto inspected = std::make_shared<std::vector<std::string>>();
  CLI::App* inspect =
      tree.command(*network, "inspect", "Show networks, and who has which address, as json",
                   inspected, network_inspect);
  inspect->add_option("NETWORK", *inspected, "Names")->required();
  inspect->footer("Example:\n  bulkhead network inspect bulkhead");

  auto removed = std::make_shared<std::vector<std::string>>();
  CLI::App* remove = tree.command(
      *network, "rm", "Remove networks that no container uses: bridge, firewall tables, settings",
      removed, network_remove);
  remove->alias("remove");
  remove->add_option("NETWORK", *removed, "Names")->required();
  remove->footer(
      "The next container that starts makes its network again.\n\n"
      "Example:\n  bulkhead network rm bulkhead");

  tree.command(*network, "prune", "Remove all networks that no container uses",
               std::make_shared<std::monostate>(),
               [](const config::Paths& paths, std::monostate) { return network_prune(paths); });
}

void add_completion(Tree& tree) {
  auto shell = std::make_shared<std::string>();
  CLI::App* sub =
      tree.command(tree.app(), "completion", "Print the script that completes words in a shell",
                   shell, completion);
  sub->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  sub->footer(
      "Examples:\n"
      "  source <(bulkhead completion bash)                   in this shell\n"
      "  bulkhead completion bash >/etc/bash_completion.d/bulkhead\n"
      "  bulkhead completion zsh >/usr/local/share/zsh/site-functions/_bulkhead\n"
      "  bulkhead completion fish >~/.config/fish/completions/bulkhead.fish");
}

/// Answers a shell. What goes wrong is no candidate, and never a message.
void complete(const Tree& tree, const CLI::App& app, const std::vector<std::string>& words) {
  program::be_silent();
  const auto paths = config::Paths::from_environment();
  if (!paths) {
    return;
  }
  if (const Tree::Program* program = words.size() > 1 ? tree.program(words.front()) : nullptr) {
    std::vector<std::string> arguments = {std::string(program::kCompleteCommand), "--"};
    arguments.insert(arguments.end(), program->words.begin(), program->words.end());
    arguments.insert(arguments.end(), words.begin() + 1, words.end());
    std::ignore = program->run(*paths, arguments);
    return;
  }
  const auto values = [&](const program::Wanted& wanted) { return candidates(*paths, wanted); };
  std::ignore = program::print_completion(program::complete(app, words, values));
}

}  // namespace

std::variant<Command, int> parse_command_line(int argc, char** argv) {
  CLI::App app("OCI containers, each in its own lightweight virtual machine.", "bulkhead");
  app.set_version_flag("-v,--version", "bulkhead " BULKHEAD_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  bulkhead run --rm -it debian bash      a shell in a virtual machine of its own\n"
      "  bulkhead list                          what runs\n"
      "\n"
      "bulkhead COMMAND --help tells more about a command.");
  Tree tree(app);
  add_run(tree);
  add_create(tree);
  add_exec(tree);
  add_list(tree);
  add_life_cycle(tree);
  add_logs(tree);
  add_export(tree);
  add_stats(tree);
  add_program(tree, "image", "Pull, push, load, save, name, list and remove images", image);
  add_program(tree, "login", "Log in to a registry", image, {"login"});
  add_program(tree, "logout", "Forget the password for a registry", image, {"logout"});
  add_program(tree, "registry", "Log in to registries, and look at and delete what they hold",
              image, {"registry"});
  add_program(tree, "disk", "Make and read ext4 images, without mounting them", disk);
  add_network(tree);
  add_system(tree);
  add_completion(tree);
  if (const auto words = program::words_to_complete(argc, argv); !words.empty()) {
    complete(tree, app, words);
    return 0;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& call) {
    return app.exit(call);
  } catch (const CLI::CallForVersion& call) {
    return app.exit(call);
  } catch (const CLI::ParseError& error) {
    std::string command;
    for (auto used = app.get_subcommands(); !used.empty(); used = used.front()->get_subcommands()) {
      command += " " + used.front()->get_name();
    }
    fmt::print(stderr, "bulkhead: {}; see bulkhead{} --help\n", error.what(), command);
    return kRuntimeFailure;
  }
  return std::move(tree).take();
}

}  // namespace bulkhead::cli
