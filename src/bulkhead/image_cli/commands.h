#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

// One function for each command of bulkhead-image. What people asked for goes to standard output,
// what happens meanwhile to standard error.

namespace bulkhead::image_cli {

enum class Verbosity : std::uint8_t { Plain, Quiet };

enum class ListFormat : std::uint8_t { Table, Json, Ids };

struct PullOptions {
  std::string reference;
  Verbosity verbosity = Verbosity::Plain;
  /// http, or https without looking at certificates, where that is all there is.
  bool insecure = false;
};

Result<> pull(store::Store& store, const PullOptions& options);

Result<> load(store::Store& store, const std::string& path, Verbosity verbosity);

/// `bulkhead image import TAR NAME`
Result<> import_image(store::Store& store, const std::string& path, const std::string& name);

Result<> list(store::Store& store, ListFormat format);

Result<> remove(store::Store& store, const std::vector<std::string>& images,
                store::RemoveMode mode);

Result<> inspect(store::Store& store, const std::vector<std::string>& images);

struct PushOptions {
  std::string image;                   ///< reference or id
  std::string destination;             ///< empty: where `image` says
  std::vector<std::string> platforms;  ///< of those that were pulled
  bool all_platforms = false;
  std::string chunk_size;  ///< empty: blobs go in one piece
  Verbosity verbosity = Verbosity::Plain;
  bool insecure = false;
};

Result<> push(store::Store& store, const PushOptions& options);

enum class PasswordSource : std::uint8_t { Terminal, Input };

struct LoginOptions {
  std::string registry = "docker.io";
  std::string user;  ///< empty: the terminal is asked
  PasswordSource password_from = PasswordSource::Terminal;
  bool insecure = false;
};

/// Keeps credentials after the registry has taken them.
Result<> login(const LoginOptions& options);

Result<> logout(const std::string& registry);

/// `bulkhead registry list`
Result<> list_logins(ListFormat format);

/// The text of `list`. `now` is for the ages of images.
std::string format_list(const std::vector<store::ImageRecord>& images, ListFormat format,
                        WallTime now);

/// Writes all of it to standard output. Errors: Io.
Result<> print(std::string_view text);

}  // namespace bulkhead::image_cli
