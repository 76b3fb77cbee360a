#include "bulkhead/disk_cli/command_line.h"

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>

#include "bulkhead/base/result.h"
#include "bulkhead/disk_cli/commands.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/program/parse.h"

// CLI11 is in this file alone; it throws, and is slow to compile.

namespace bulkhead::disk_cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  bulkhead disk create --size 10g --journal 16m data.img
  bulkhead disk create tree.img tree/
  tar -C tree -c . | bulkhead disk create --from - tree.img
  bulkhead disk ls -l tree.img /etc
  bulkhead disk cat tree.img /etc/hostname
  bulkhead disk cp tree.img /bin/tool .
  bulkhead disk export tree.img /etc | tar -t
  bulkhead disk check tree.img)";

/// Everything that options are read into. It outlives parsing within the command.
struct Options {
  CreateOptions create;
  std::string disk;
  std::string path;
  std::string to;
  std::string scratch;
  bool is_long = false;
};

class CommandLine {
 public:
  CommandLine() : options_(std::make_shared<Options>()) {
    app_.name("bulkhead disk");
    app_.description("Make and read ext4 images, without mounting them");
    app_.footer(kExamples);
    app_.require_subcommand(1);
    add_create();
    add_list();
    add_cat();
    add_copy();
    add_export();
    add_check();
  }

  Result<std::variant<Command, Help>> parse(int argc, const char* const* argv) {
    auto help = BH_TRY(program::parse(app_, argc, argv, "bulkhead disk").context("disk"));
    if (help) {
      return *std::move(help);
    }
    return std::move(command_);
  }

  /// All that a shell can complete here are commands, options and its own files.
  [[nodiscard]] program::Completion complete(std::span<const std::string> words) const {
    return program::complete(
        app_, words, [](const program::Wanted&) { return std::vector<program::Candidate>(); });
  }

 private:
  void add_create() {
    CLI::App* command =
        app_.add_subcommand("create", "Make an image: empty, or of a directory or a tar");
    CreateOptions& create = options_->create;
    command->add_option("FILE", create.path, "the image")->required();
    CLI::Option* directory =
        command->add_option("DIRECTORY", create.directory, "its tree is copied into the image");
    command->add_option("--size", create.size,
                        "such as 10g; without it as small as the content allows");
    command->add_option("--from", create.from, "tar in any compression; - is standard input")
        ->type_name("FILE")
        ->excludes(directory);
    command->add_option("--label", create.label, "at most 16 bytes");
    command->add_option("--uuid", create.uuid,
                        "without it one made from the content: the same tree, the same bytes");
    CLI::Option* journal =
        command->add_option("--journal", create.journal, "its size, such as 16m; without it none");
    command
        ->add_option(
            "--journal-mode", create.journal_mode,
            "what goes through it where the mount does not say: nothing of the content but "
            "in order, which is the kernel's default; content too; nothing, in no order")
        ->check(CLI::IsMember({"ordered", "data", "writeback"}))
        ->needs(journal);
    command->add_option(
        "--block-size", create.block_size,
        "1k, 2k or 4k, which is the default; small ones waste less behind small files");
    command->add_flag(
        "--growable", create.growable,
        "can be enlarged while it is mounted; when it is not, resize2fs enlarges any");
    command->add_flag("-f,--force", create.force, "replace FILE");
    set_command(command, [](const Options& options) { return disk_cli::create(options.create); });
  }

  void add_list() {
    CLI::App* command = add_reading("ls", "List a directory of an image", false);
    command->add_flag("-l,--long", options_->is_long, "modes, owners, sizes and times too");
    set_command(command, [](const Options& options) {
      return list(options.disk, options.path, options.is_long ? ListForm::Long : ListForm::Names);
    });
  }

  void add_cat() {
    set_command(add_reading("cat", "Print a file of an image", true),
                [](const Options& options) { return cat(options.disk, options.path); });
  }

  void add_copy() {
    CLI::App* command = add_reading("cp", "Copy a file out of an image", true);
    command->add_option("TO", options_->to, "file or directory")->required();
    set_command(command, [](const Options& options) {
      return copy_out(options.disk, options.path, options.to);
    });
  }

  void add_export() {
    CLI::App* command =
        add_reading("export", "Write an image, or a part of it, as tar with all attributes", false);
    command->add_option("-o,--output", options_->to, "file; - is standard output")
        ->type_name("FILE")
        ->default_val("-");
    command
        ->add_option("--scratch", options_->scratch,
                     "a container's scratch disk: DISK as the container saw it that wrote there")
        ->type_name("FILE")
        ->excludes("PATH");
    set_command(command, [](const Options& options) {
      return export_tar({.disk = options.disk,
                         .path = options.path,
                         .scratch = options.scratch,
                         .to = options.to});
    });
  }

  void add_check() {
    CLI::App* command = app_.add_subcommand("check", "Read all of an image and say what is wrong");
    command->add_option("DISK", options_->disk, "the image")->required();
    set_command(command, [](const Options& options) { return check(options.disk); });
  }

  CLI::App* add_reading(const std::string& name, const std::string& what, bool needs_path) {
    CLI::App* command = app_.add_subcommand(name, what);
    command->add_option("DISK", options_->disk, "the image")->required();
    CLI::Option* path = command->add_option("PATH", options_->path,
                                            "in the image; links are followed inside of it");
    if (needs_path) {
      path->required();
    }
    return command;
  }

  template <class Run>
  void set_command(CLI::App* command, Run run) {
    command->callback(
        [this, run] { command_ = [options = options_, run] { return run(*options); }; });
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

}  // namespace bulkhead::disk_cli
