#pragma once

#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

namespace bulkhead::config {

/// Where this installation keeps things; the one place that knows. No directory is made here.
struct Paths {
  std::string state;    ///< lasts: /var/lib/bulkhead, or $BULKHEAD_STATE_DIR
  std::string run;      ///< until the next boot: /run/bulkhead, or $BULKHEAD_RUN_DIR
  std::string libexec;  ///< programs that programs of ours start
  std::string share;    ///< vmlinux and initramfs.cpio, or $BULKHEAD_SHARE_DIR

  /// Libexec and share are found beside the directory of the running program.
  /// Errors: Invalid for an override that is not an absolute path without "." and "..".
  static Result<Paths> from_environment();

  [[nodiscard]] std::string content() const { return state + "/content"; }

  [[nodiscard]] std::string roots() const { return state + "/roots"; }

  [[nodiscard]] std::string images_database() const { return state + "/images.db"; }

  [[nodiscard]] std::string containers() const { return state + "/containers"; }

  [[nodiscard]] std::string templates() const { return state + "/templates"; }

  /// Locks of templates that are being made, and which of them were found whole since the boot.
  [[nodiscard]] std::string template_marks() const { return run + "/templates"; }

  /// Machines that stand by (runtime::StandbyPool).
  [[nodiscard]] std::string standby() const { return run + "/standby"; }

  [[nodiscard]] std::string network_database() const { return run + "/network.db"; }

  [[nodiscard]] std::string kernel() const { return share + "/vmlinux"; }

  [[nodiscard]] std::string initramfs() const { return share + "/initramfs.cpio"; }

  /// Directories of one container. `id` has passed validate_name().
  [[nodiscard]] std::string container_state(std::string_view id) const;
  [[nodiscard]] std::string container_run(std::string_view id) const;

  /// A program in libexec, such as "bulkhead-image".
  [[nodiscard]] std::string program(std::string_view name) const;
};

}  // namespace bulkhead::config
