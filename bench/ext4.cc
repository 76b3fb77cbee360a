// The ext4 library beside mke2fs, in turn in one loop.
//
//   bench/ext4 [--tar FILE] [--runs N] [--directory DIR]
//
// FILE is a root file system as a plain tar; without it mmdebstrap makes a Debian minbase, once, in
// DIR (default /tmp/bulkhead-bench-ext4), which should be on a disk like the one that images are
// stored on. Medians, ratios and peaks of memory go to stdout. Unpacking as root keeps owners and
// device nodes. Each run is a process of its own, because a peak of memory is a process's.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <ratio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/archive/read_ahead.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/source.h"
#include "bulkhead/ext4/tar_exporter.h"
#include "bulkhead/ext4/tar_importer.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/process.h"
#include "bulkhead/os/retry.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead {
namespace {

constexpr std::uint64_t kScratchBytes = std::uint64_t{10} << 30U;
constexpr std::uint64_t kLargeBytes = std::uint64_t{1} << 40U;

struct Options {
  std::string tar;
  std::string directory = "/tmp/bulkhead-bench-ext4";
  int runs = 11;
};

Result<> command(std::vector<std::string> arguments) {
  const std::string name = arguments.front();
  const os::CommandOutput output = BH_TRY(os::run_command(std::move(arguments)));
  if (output.status.shell_code() != 0) {
    return fail(ErrorCode::Remote, "{} {}: {}", name, output.status.describe(), output.err);
  }
  return {};
}

Result<os::UniqueFd> fresh_file(const std::string& path) {
  BH_TRY(os::remove_file(path));
  return os::open_file(path, O_RDWR | O_CREAT | O_EXCL);
}

/// One contestant: what it does, how long that took, and how much memory.
struct Contestant {
  std::string name;
  std::function<Result<>()> run;
  std::vector<double> milliseconds;
  std::uint64_t allocated_bytes = 0;
  std::uint64_t peak_bytes = 0;  ///< of its process and of the programs that it ran

  [[nodiscard]] double median() const {
    std::vector<double> sorted = milliseconds;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

struct Cost {
  double milliseconds = 0;
  std::uint64_t peak_bytes = 0;
};

/// In the child: the time goes through the pipe, an error to stderr.
[[noreturn]] void run_and_exit(const std::function<Result<>()>& run, int answer) {
  const auto start = std::chrono::steady_clock::now();
  const Result<> result = run();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  if (!result) {
    fmt::print(stderr, "ext4: {}\n", result.error().message());
    ::_exit(1);
  }
  const double milliseconds = took.count();
  ::_exit(os::write_all(answer, object_bytes(milliseconds)) ? 0 : 1);
}

/// Runs it in a process of its own. Not counted: making and ending that.
Result<Cost> measure(const std::function<Result<>()>& run) {
  os::Pipe answer = BH_TRY(os::make_pipe());
  static_cast<void>(std::fflush(nullptr));
  const pid_t child = ::fork();
  if (child < 0) {
    return Error::from_errno("fork");
  }
  if (child == 0) {
    run_and_exit(run, answer.write_end.get());
  }
  answer.write_end.reset();
  int status = 0;
  rusage usage{};
  if (os::retry_eintr([&] { return ::wait4(child, &status, 0, &usage); }) < 0) {
    return Error::from_errno("wait4");
  }
  Cost cost{.peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) << 10U};
  const std::size_t got =
      BH_TRY(os::read_some(answer.read_end.get(), object_bytes(cost.milliseconds)));
  if (status != 0 || got != sizeof cost.milliseconds) {
    return fail(ErrorCode::Remote, "a run failed");
  }
  return cost;
}

/// Runs all in turn, `runs` times, and prints a table; the ratio is to the first.
Result<> race(const std::string& title, const std::string& image, int runs,
              std::vector<Contestant> contestants) {
  // The first round warms the caches.
  for (int i = 0; i <= runs; ++i) {
    for (Contestant& contestant : contestants) {
      BH_TRY(os::remove_file(image));
      const Cost cost = BH_TRY(measure(contestant.run).context(contestant.name));
      if (i > 0) {
        contestant.milliseconds.push_back(cost.milliseconds);
      }
      contestant.peak_bytes = std::max(contestant.peak_bytes, cost.peak_bytes);
      const os::UniqueFd file = BH_TRY(os::open_file(image, O_RDONLY));
      contestant.allocated_bytes = BH_TRY(os::file_space(file.get())).allocated_bytes;
    }
  }
  fmt::print("{} (median of {} runs)\n", title, runs);
  for (const Contestant& contestant : contestants) {
    fmt::print(
        "  {:<44} {:>9.2f} ms  {:>6.2f}x  {:>8} KiB on disk  {:>6.1f} MiB of memory  "
        "({:.2f} to {:.2f})\n",
        contestant.name, contestant.median(), contestant.median() / contestants.front().median(),
        contestant.allocated_bytes >> 10U, static_cast<double>(contestant.peak_bytes) / (1U << 20U),
        *std::ranges::min_element(contestant.milliseconds),
        *std::ranges::max_element(contestant.milliseconds));
  }
  return {};
}

Result<> format_ours(const std::string& image) {
  const os::UniqueFd file = BH_TRY(fresh_file(image));
  BH_TRY(ext4::format_scratch(file.get(), kScratchBytes));
  return {};
}

Result<> format_mke2fs(const std::string& image) {
  return command({"mke2fs", "-q", "-t", "ext4", image, "10G"});
}

Result<> empty_ours(const std::string& image, std::uint64_t bytes) {
  const os::UniqueFd file = BH_TRY(fresh_file(image));
  BH_TRY(ext4::format_empty(file.get(), {.size_bytes = bytes}));
  return {};
}

Result<> populate_ours(const std::string& tar, const std::string& image) {
  const os::UniqueFd source = BH_TRY(os::open_file(tar, O_RDONLY));
  const os::UniqueFd file = BH_TRY(fresh_file(image));
  archive::FdReader reader(source.get());
  archive::ReadAhead ahead(reader);
  ext4::Formatter formatter = BH_TRY(ext4::Formatter::create(file.get(), {}));
  BH_TRY(ext4::apply_layer(formatter, ahead));
  BH_TRY(std::move(formatter).finish());
  return {};
}

Result<> copy_bytes(const std::string& tar, const std::string& image) {
  const os::UniqueFd source = BH_TRY(os::open_file(tar, O_RDONLY));
  const os::UniqueFd file = BH_TRY(fresh_file(image));
  archive::FdReader reader(source.get());
  while (true) {
    const Bytes piece = BH_TRY(reader.next());
    if (piece.empty()) {
      return {};
    }
    BH_TRY(os::write_all(file.get(), piece));
  }
}

/// A million names, as apt and language package managers make them: no content, many inodes.
Result<> populate_empty_files(const std::string& image) {
  constexpr int kFiles = 1'000'000;
  const os::UniqueFd file = BH_TRY(fresh_file(image));
  ext4::Formatter formatter = BH_TRY(ext4::Formatter::create(file.get(), {}));
  for (int i = 0; i < kFiles; ++i) {
    BH_TRY(formatter.begin_file(fmt::format("d{}/file-number-{}", i / 1000, i), {}));
  }
  BH_TRY(std::move(formatter).finish());
  return {};
}

/// One file of data that is no hole.
Result<> populate_large_file(const std::string& image, std::uint64_t bytes) {
  const os::UniqueFd file = BH_TRY(fresh_file(image));
  ext4::Formatter formatter = BH_TRY(ext4::Formatter::create(file.get(), {}));
  const std::vector<std::byte> piece(std::size_t{1} << 20U, std::byte{'x'});
  BH_TRY(formatter.begin_file("large", {}));
  for (std::uint64_t done = 0; done < bytes; done += piece.size()) {
    BH_TRY(formatter.append(piece));
  }
  BH_TRY(formatter.end_file());
  BH_TRY(std::move(formatter).finish());
  return {};
}

Result<> export_ours(const std::string& image, const std::string& tar) {
  const os::UniqueFd file = BH_TRY(os::open_file(image, O_RDONLY));
  ext4::FileSource source(file.get(), BH_TRY(os::file_space(file.get())).size);
  ext4::Image opened = BH_TRY(ext4::Image::open(source));
  const ext4::Inode root = BH_TRY(opened.resolve(""));
  const os::UniqueFd out = BH_TRY(os::open_file(tar, O_WRONLY | O_CREAT));
  archive::FdWriter writer(out.get());
  BH_TRY(ext4::export_tar(opened, root, "", writer));
  return {};
}

/// Whether memory grows with the data.
Result<> race_sizes(const Options& options, const std::string& image) {
  constexpr std::uint64_t kSmall = std::uint64_t{64} << 20U;
  constexpr std::uint64_t kLarge = std::uint64_t{1} << 30U;
  const int runs = std::min(options.runs, 3);
  BH_TRY(race("one file, through the API", image, runs,
              {{.name = "of 64 MiB", .run = [&] { return populate_large_file(image, kSmall); }},
               {.name = "of 1 GiB", .run = [&] { return populate_large_file(image, kLarge); }}}));
  const std::string small = options.directory + "/small";
  const std::string large = options.directory + "/large";
  BH_TRY(populate_large_file(small, kSmall));
  BH_TRY(populate_large_file(large, kLarge));
  const auto export_from = [&](const std::string& exported) -> Result<> {
    BH_TRY(fresh_file(image));
    return export_ours(exported, "/dev/null");
  };
  BH_TRY(race("that file exported as tar to /dev/null", image, runs,
              {{.name = "of 64 MiB", .run = [&] { return export_from(small); }},
               {.name = "of 1 GiB", .run = [&] { return export_from(large); }}}));
  BH_TRY(os::remove_file(small));
  return os::remove_file(large);
}

Result<> prepare_tree(Options& options, const std::string& tree) {
  BH_TRY(os::make_directories(options.directory));
  if (options.tar.empty()) {
    options.tar = options.directory + "/debian.tar";
    if (!os::path_exists(options.tar)) {
      fmt::print("making {} with mmdebstrap\n", options.tar);
      BH_TRY(command({"mmdebstrap", "-q", "--variant=minbase", "bookworm", options.tar}));
    }
  }
  BH_TRY(os::remove_tree(tree));
  BH_TRY(os::make_directories(tree));
  return command({"tar", "-xpf", options.tar, "-C", tree});
}

Result<> run(Options options) {
  const std::string image = options.directory + "/image";
  const std::string tree = options.directory + "/tree";
  BH_TRY(prepare_tree(options, tree));
  BH_TRY(race("empty file system of 10 GiB, sparse, with a journal", image, options.runs,
              {{.name = "bulkhead", .run = [&] { return format_ours(image); }},
               {.name = "mke2fs -q -t ext4", .run = [&] { return format_mke2fs(image); }}}));
  BH_TRY(race("empty file system of 1 TiB, sparse, without a journal", image, options.runs,
              {{.name = "bulkhead", .run = [&] { return empty_ours(image, kLargeBytes); }},
               {.name = "mke2fs -q -t ext4 -O ^has_journal", .run = [&] {
                  return command({"mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", image, "1T"});
                }}}));
  const os::UniqueFd tar = BH_TRY(os::open_file(options.tar, O_RDONLY));
  const std::uint64_t tar_bytes = BH_TRY(os::file_space(tar.get())).size;
  // mke2fs wants a size: what the content needs and a tenth more.
  const std::string size = fmt::format("{}K", (tar_bytes >> 10U) * 13 / 10 + 65536);
  BH_TRY(race(
      fmt::format("populate from {}", format_size(tar_bytes)), image, options.runs,
      {{.name = "bulkhead, from the tar", .run = [&] { return populate_ours(options.tar, image); }},
       {.name = "mke2fs -d, from the unpacked tree",
        .run = [&] { return command({"mke2fs", "-q", "-t", "ext4", "-d", tree, image, size}); }},
       {.name = "copying the tar's bytes to a file",
        .run = [&] { return copy_bytes(options.tar, image); }}}));
  const std::string exported = options.directory + "/exported";
  BH_TRY(populate_ours(options.tar, image));
  BH_TRY(os::rename_path(image, exported));
  BH_TRY(race("export as tar, from the page cache", image, options.runs,
              {{.name = "bulkhead, to a file", .run = [&] { return export_ours(exported, image); }},
               {.name = "bulkhead, to /dev/null",
                .run = [&]() -> Result<> {
                  BH_TRY(fresh_file(image));
                  return export_ours(exported, "/dev/null");
                }},
               {.name = "copying the tar's bytes to a file",
                .run = [&] { return copy_bytes(options.tar, image); }}}));
  BH_TRY(os::remove_file(exported));
  BH_TRY(race("a million empty files, through the API", image, std::min(options.runs, 3),
              {{.name = "bulkhead", .run = [&] { return populate_empty_files(image); }}}));
  BH_TRY(race_sizes(options, image));
  BH_TRY(os::remove_file(image));
  return os::remove_tree(tree);
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--tar") {
      options.tar = argv[i + 1];
    } else if (name == "--directory") {
      options.directory = argv[i + 1];
    } else if (name == "--runs") {
      options.runs = parse_decimal<int>(argv[i + 1]).value_or(0);
    } else {
      return std::nullopt;
    }
  }
  return argc % 2 == 1 && options.runs > 0 ? std::optional(options) : std::nullopt;
}

}  // namespace
}  // namespace bulkhead

int main(int argc, char** argv) {
  auto options = bulkhead::parse(argc, argv);
  if (!options) {
    fmt::print(stderr, "usage: ext4 [--tar FILE] [--runs N] [--directory DIR]\n");
    return 2;
  }
  const auto result = bulkhead::run(std::move(*options));
  if (!result) {
    fmt::print(stderr, "ext4: {}\n", result.error().message());
    return 1;
  }
  return 0;
}
