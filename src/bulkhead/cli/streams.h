#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/cli/relay.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/os/unique_fd.h"

namespace bulkhead::cli {

/// The caller's standard streams on their way to a process in a container: FIFOs that the shim has
/// the other ends of, and threads that move bytes between them and descriptors 0, 1 and 2.
class Streams {
 public:
  struct Wanted {
    bool input = false;
    bool output = false;
    bool errors = false;  ///< false with a terminal: it has one output
  };

  /// Makes the FIFOs `directory`/`prefix`stdin, … (0600) and opens those to read from.
  static Result<Streams> make(const std::string& directory, const std::string& prefix,
                              const Wanted& wanted);

  Streams(Streams&&) noexcept = default;
  Streams& operator=(Streams&&) = delete;
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  /// Removes the FIFOs; the descriptors stay as they are.
  ~Streams();

  /// Empty where nothing is wanted.
  [[nodiscard]] const std::string& input_path() const { return input_path_; }

  [[nodiscard]] const std::string& output_path() const { return output_path_; }

  [[nodiscard]] const std::string& errors_path() const { return errors_path_; }

  /// Begins to move bytes; the shim must have opened its ends. `input_ended` is called from another
  /// thread when everything of standard input has been handed over.
  Result<> start(std::move_only_function<void()> input_ended);

  /// Waits until the shim has closed the outputs and every byte has been written.
  void finish();

 private:
  Streams() = default;

  std::string input_path_;
  std::string output_path_;
  std::string errors_path_;
  os::UniqueFd output_;
  os::UniqueFd errors_;
  std::vector<Relay> outputs_;
};

}  // namespace bulkhead::cli
