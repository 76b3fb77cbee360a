#include "bulkhead/image_cli/command_line.h"

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>

#include "bulkhead/base/result.h"
#include "bulkhead/image_cli/candidates.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/images/verify.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/program/parse.h"
#include "bulkhead/store/store.h"

// CLI11 is in this file alone; it throws, and is slow to compile.

namespace bulkhead::image_cli {
namespace {

/// Each takes a connection.
constexpr unsigned kMostAtOnce = 64;

/// Everything that options are read into. It outlives parsing within the command.
struct Options {
  std::string path;
  std::string name;
  std::string destination;
  std::vector<std::string> images;
  PlatformChoice platform;
  std::string format = "table";
  std::string progress = "auto";
  std::string save_format = "oci-archive";
  bool quiet = false;
  bool verbose = false;
  bool force = false;
  bool insecure = false;
  unsigned at_once = 3;
  std::string chunk_size;
  bool all = false;
  bool repair = false;
};

class CommandLine {
 public:
  CommandLine() : options_(std::make_shared<Options>()) {
    app_.name("bulkhead image");
    app_.description("Manage images");
    app_.require_subcommand(1);
    add_pull();
    add_push();
    add_load();
    add_save();
    add_import();
    add_list();
    add_remove();
    add_names();
    add_prune();
    add_verify();
    add_inspect();
  }

  Result<std::variant<Command, Help>> parse(int argc, const char* const* argv) {
    auto help = BH_TRY(program::parse(app_, argc, argv, "bulkhead image").context("image"));
    if (help) {
      return *std::move(help);
    }
    return std::move(command_);
  }

  [[nodiscard]] program::Completion complete(std::span<const std::string> words) const {
    return program::complete(app_, words, candidates);
  }

 private:
  // The commands share the options because one of them runs, after this object is gone.

  void add_pull() {
    CLI::App* command = app_.add_subcommand("pull", "Fetch an image from a registry");
    command
        ->add_option("IMAGE", options_->name, "alpine, quay.io/name:tag, host:5000/name@sha256:…")
        ->required();
    add_progress(command);
    add_insecure(command);
    add_platforms(command);
    add_at_once(command, "--max-concurrent-downloads", "layers that are fetched at the same time");
    command->footer(
        "Examples:\n"
        "  bulkhead image pull debian:12\n"
        "  bulkhead image pull --platform linux/amd64,linux/arm64 debian");
    set_command(command, [](store::Store& store, const Options& options) {
      return pull(store, {.reference = options.name,
                          .platform = options.platform,
                          .verbosity = options.quiet ? Verbosity::Quiet : Verbosity::Plain,
                          .progress = progress_mode(options),
                          .insecure = options.insecure,
                          .layers_at_once = options.at_once});
    });
  }

  void add_push() {
    CLI::App* command = app_.add_subcommand("push", "Send an image to a registry");
    command->add_option("IMAGE", options_->name, "name or id")->required();
    command->add_option("DESTINATION", options_->destination,
                        "quay.io/name:tag; the image's own name if not given");
    command->add_flag("--all-tags", options_->all,
                      "every tag that is here of a repository, which IMAGE names without a tag");
    add_selection(command);
    add_at_once(command, "--max-concurrent-uploads", "blobs that are sent at the same time");
    command->add_option("--chunk-size", options_->chunk_size, "send blobs in pieces of this size")
        ->type_name("SIZE");
    add_progress(command);
    add_insecure(command);
    command->footer(
        "Examples:\n"
        "  bulkhead image push debian:12 registry.example.com:5000/debian:12\n"
        "  bulkhead image push --platform linux/arm64 debian quay.io/me/debian:arm\n"
        "  bulkhead image push --all-tags quay.io/me/debian");
    set_command(command, [](store::Store& store, const Options& options) {
      return push(store, {.image = options.name,
                          .destination = options.destination,
                          .platform = options.platform,
                          .chunk_size = options.chunk_size,
                          .tags = options.all ? PushedTags::All : PushedTags::One,
                          .blobs_at_once = options.at_once,
                          .verbosity = options.quiet ? Verbosity::Quiet : Verbosity::Plain,
                          .progress = progress_mode(options),
                          .insecure = options.insecure});
    });
  }

  void add_load() {
    CLI::App* command =
        app_.add_subcommand("load", "Load images from an OCI or docker archive or layout");
    command->add_option("-i,--input", options_->path, "archive or directory; - is standard input")
        ->type_name("FILE")
        ->default_val("-");
    add_progress(command);
    add_platforms(command);
    command->footer(
        "Examples:\n"
        "  bulkhead image load -i debian.tar\n"
        "  bulkhead image load --platform linux/arm64 <images.tar");
    set_command(command, [](store::Store& store, const Options& options) {
      return load(
          store,
          {.path = options.path, .platform = options.platform, .progress = progress_mode(options)});
    });
  }

  void add_save() {
    CLI::App* command = app_.add_subcommand("save", "Write images to an archive or a directory");
    command->add_option("IMAGE", options_->images, "name or id")->required();
    command->add_option("-o,--output", options_->path, "file or directory; - is standard output")
        ->type_name("FILE")
        ->default_val("-");
    command
        ->add_option("--format", options_->save_format,
                     "oci-archive, docker-archive (one platform), or oci-dir")
        ->check(CLI::IsMember({"oci-archive", "docker-archive", "oci-dir"}));
    add_selection(command);
    command->footer(
        "Examples:\n"
        "  bulkhead image save -o debian.tar debian:12 redis:7\n"
        "  bulkhead image save --format docker-archive debian:12 | docker load");
    set_command(command, [](store::Store& store, const Options& options) {
      return save(store, {.images = options.images,
                          .path = options.path,
                          .format = options.save_format,
                          .platform = options.platform});
    });
  }

  void add_import() {
    CLI::App* command =
        app_.add_subcommand("import", "Make an image from the tar of a root file system");
    command->add_option("TAR", options_->path, "file, in any compression; - is standard input")
        ->required();
    command->add_option("NAME", options_->name, "what to call it")->required();
    add_platform(command, "what it is for");
    command->footer(
        "Example:\n"
        "  bulkhead image import rootfs.tar.xz me/rootfs:1");
    set_command(command, [](store::Store& store, const Options& options) {
      return import_image(
          store, {.path = options.path, .name = options.name, .platform = options.platform});
    });
  }

  void add_list() {
    CLI::App* command = app_.add_subcommand("list", "List images")->alias("ls");
    command->add_option("--format", options_->format, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
    command->add_flag("-q,--quiet", options_->quiet, "only ids");
    command->add_flag("-v,--verbose", options_->verbose,
                      "a line for each platform that is kept, with its digests, and what artifacts "
                      "are");
    command->footer(
        "Examples:\n"
        "  bulkhead image list\n"
        "  bulkhead image list --format json");
    set_command(command, [](store::Store& store, const Options& options) {
      return list(store,
                  options.format == "json" ? ListFormat::Json
                  : options.quiet          ? ListFormat::Ids
                                           : ListFormat::Table,
                  options.verbose ? ListDetail::Platforms : ListDetail::Names);
    });
  }

  void add_remove() {
    CLI::App* command =
        app_.add_subcommand("rm", "Remove images")->alias("remove")->alias("delete");
    command->add_option("IMAGE", options_->images, "name or id");
    command->add_flag("-a,--all", options_->all, "all of them");
    command->add_flag("-f,--force", options_->force,
                      "also names of images that containers use; absent ones are fine");
    command->footer(
        "Examples:\n"
        "  bulkhead image rm debian:12\n"
        "  bulkhead image rm --all");
    set_command(command, [](store::Store& store, const Options& options) {
      const auto mode = options.force ? store::RemoveMode::Force : store::RemoveMode::Careful;
      return options.all ? remove_all(store, mode) : remove(store, options.images, mode);
    });
    command->parse_complete_callback([options = options_.get()] {
      if (options->images.empty() == !options->all) {
        throw CLI::RequiredError("either IMAGE or --all");
      }
    });
  }

  void add_names() {
    CLI::App* tag_command = app_.add_subcommand("tag", "Give an image one more name");
    tag_command->add_option("IMAGE", options_->name, "name or id")->required();
    tag_command->add_option("NAME", options_->images, "new names")->required();
    tag_command->footer(
        "Example:\n"
        "  bulkhead image tag debian:12 quay.io/me/debian:12");
    set_command(tag_command, [](store::Store& store, const Options& options) {
      return tag(store, options.name, options.images);
    });
    CLI::App* untag_command = app_.add_subcommand("untag", "Take a name away from an image");
    untag_command->add_option("IMAGE", options_->images, "names; the last stays")->required();
    untag_command->footer(
        "Example:\n"
        "  bulkhead image untag quay.io/me/debian:12");
    set_command(untag_command, [](store::Store& store, const Options& options) {
      return untag(store, options.images);
    });
  }

  void add_prune() {
    CLI::App* command = app_.add_subcommand("prune", "Remove content that nothing names");
    command->add_flag("-a,--all", options_->all, "and every image that no container uses");
    command->footer(
        "Example:\n"
        "  bulkhead image prune -a");
    set_command(command, [](store::Store& store, const Options& options) {
      return prune(store, options.all ? store::PruneMode::Unused : store::PruneMode::Dangling);
    });
  }

  void add_verify() {
    CLI::App* command = app_.add_subcommand("verify", "Hash everything in the store again");
    command->add_flag("--repair", options_->repair,
                      "remove damaged blobs and make damaged roots again");
    command->footer(
        "Example:\n"
        "  bulkhead image verify --repair");
    set_command(command, [](store::Store& store, const Options& options) {
      return verify_store(store,
                          options.repair ? images::VerifyMode::Repair : images::VerifyMode::Report);
    });
  }

  void add_inspect() {
    CLI::App* command = app_.add_subcommand("inspect", "Show everything about images as JSON");
    command->add_option("IMAGE", options_->images, "name or id")->required();
    command->footer(
        "Example:\n"
        "  bulkhead image inspect debian:12");
    set_command(command, [](store::Store& store, const Options& options) {
      return inspect(store, options.images);
    });
  }

  void add_progress(CLI::App* command) {
    command->add_flag("-q,--quiet", options_->quiet, "no progress");
    command
        ->add_option("--progress", options_->progress,
                     "auto, tty (live lines), plain (lines as things happen), or none")
        ->check(CLI::IsMember({"auto", "tty", "plain", "none"}));
  }

  static ProgressMode progress_mode(const Options& options) {
    if (options.quiet || options.progress == "none") {
      return ProgressMode::None;
    }
    return options.progress == "tty"     ? ProgressMode::Terminal
           : options.progress == "plain" ? ProgressMode::Plain
                                         : ProgressMode::Auto;
  }

  void add_insecure(CLI::App* command) {
    command->add_flag("--insecure", options_->insecure,
                      "speak http, or https without checking certificates, if need be");
  }

  /// One word each time it is given: what follows is the image.
  void add_platform(CLI::App* command, const std::string& description) {
    command->add_option("--platform", options_->platform.platforms, description)
        ->type_name("PLATFORM")
        ->allow_extra_args(false);
  }

  /// The same as a platform, in words of their own.
  void add_processor(CLI::App* command) {
    command
        ->add_option("--arch", options_->platform.architecture,
                     "the platform's architecture; --platform has priority")
        ->type_name("ARCHITECTURE");
    command->add_option("--os", options_->platform.os, "the platform's system")->type_name("OS");
  }

  void add_at_once(CLI::App* command, const std::string& name, const std::string& description) {
    command->add_option(name, options_->at_once, description)
        ->type_name("N")
        ->check(CLI::Range(1U, kMostAtOnce))
        ->capture_default_str();
  }

  /// What goes out.
  void add_selection(CLI::App* command) {
    add_platform(command, "only these of the platforms that were pulled, separated by commas");
    command->add_flag("--all-platforms", options_->platform.all, "all that were pulled");
    add_processor(command);
  }

  /// What comes in.
  void add_platforms(CLI::App* command) {
    add_platform(command,
                 "os/architecture[/variant] to run, this machine's if not given; more of them, "
                 "separated by commas, are kept beside it");
    command->add_flag("--all-platforms", options_->platform.all, "keep every platform beside it");
    add_processor(command);
  }

  template <class Run>
  void set_command(CLI::App* command, Run run) {
    command->callback([this, run] {
      command_ = [options = options_, run](store::Store& store) { return run(store, *options); };
    });
  }

  CLI::App app_;
  std::shared_ptr<Options> options_;  ///< CLI11 writes it; the command reads it later
  Command command_;
};

}  // namespace

Result<std::variant<Command, Help>> parse_command_line(int argc, const char* const* argv) {
  CommandLine command_line;
  return command_line.parse(argc, argv);
}

Result<> print_candidates(std::span<const std::string> words) {
  const CommandLine command_line;
  return program::print_completion(command_line.complete(words));
}

}  // namespace bulkhead::image_cli
