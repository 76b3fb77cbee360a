#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/result.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/outgoing_image.h"
#include "bulkhead/images/verify.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

// One function for each command of bulkhead-image. What people asked for goes to standard output,
// what happens meanwhile to standard error.

namespace bulkhead::image_cli {

/// `--progress auto|tty|plain|none`; -q is None.
enum class ProgressMode : std::uint8_t { Auto, Terminal, Plain, None };

enum class Verbosity : std::uint8_t { Plain, Quiet };

enum class ListFormat : std::uint8_t { Table, Json, Ids };

/// A line for each name, or for each platform of it that is kept.
enum class ListDetail : std::uint8_t { Names, Platforms };

/// What `--platform`, `--arch`, `--os` and `--all-platforms` say.
struct PlatformChoice {
  /// The first is the one to run; none: this machine's.
  std::vector<std::string> platforms;
  /// Where `platforms` is empty, these are one; empty: this machine's.
  std::string architecture;
  std::string os;
  bool all = false;
};

struct PullOptions {
  std::string reference;
  PlatformChoice platform;
  Verbosity verbosity = Verbosity::Plain;
  ProgressMode progress = ProgressMode::Auto;
  /// http, or https without looking at certificates, where that is all there is.
  bool insecure = false;
  unsigned layers_at_once = 3;
};

/// Without any platform in the options, $CONTAINER_DEFAULT_PLATFORM counts.
Result<> pull(store::Store& store, const PullOptions& options);

struct LoadOptions {
  std::string path = "-";
  PlatformChoice platform;
  ProgressMode progress = ProgressMode::Auto;
};

Result<> load(store::Store& store, const LoadOptions& options);

struct SaveOptions {
  std::vector<std::string> images;
  std::string path = "-";
  std::string format = "oci-archive";  ///< or docker-archive, oci-dir
  PlatformChoice platform;
};

Result<> save(store::Store& store, const SaveOptions& options);

struct ImportOptions {
  std::string path;
  std::string name;
  PlatformChoice platform;
};

/// `bulkhead image import TAR NAME`
Result<> import_image(store::Store& store, const ImportOptions& options);

Result<> list(store::Store& store, ListFormat format, ListDetail detail = ListDetail::Names);

Result<> remove(store::Store& store, const std::vector<std::string>& images,
                store::RemoveMode mode);

/// `bulkhead image rm --all`
Result<> remove_all(store::Store& store, store::RemoveMode mode);

/// `bulkhead image tag IMAGE NAME…`
Result<> tag(store::Store& store, const std::string& image, const std::vector<std::string>& names);

/// `bulkhead image untag NAME…`
Result<> untag(store::Store& store, const std::vector<std::string>& names);

Result<> prune(store::Store& store, store::PruneMode mode);

/// Errors: Corrupt when something is damaged.
Result<> verify_store(store::Store& store, images::VerifyMode mode);

Result<> inspect(store::Store& store, const std::vector<std::string>& images);

enum class PushedTags : std::uint8_t { One, All };

struct PushOptions {
  std::string image;        ///< reference or id; of all tags, the repository
  std::string destination;  ///< empty: where `image` says
  PlatformChoice platform;  ///< of those that were pulled
  std::string chunk_size;   ///< empty: blobs go in one piece
  PushedTags tags = PushedTags::One;
  unsigned blobs_at_once = 3;
  Verbosity verbosity = Verbosity::Plain;
  ProgressMode progress = ProgressMode::Auto;
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

struct RegistryOptions {
  std::string name;    ///< a repository, a registry, or an image in one
  std::string filter;  ///< empty: all
  ListFormat format = ListFormat::Table;
  bool insecure = false;
};

/// `bulkhead registry tags REPOSITORY`
Result<> list_tags(const RegistryOptions& options);

/// `bulkhead registry catalog REGISTRY`; the filter is how names begin.
Result<> list_repositories(const RegistryOptions& options);

/// `bulkhead registry referrers IMAGE`; the filter is an artifact type.
Result<> list_referrers(const RegistryOptions& options);

/// `bulkhead registry delete IMAGE…`; ends at the first failure.
Result<> delete_references(const std::vector<std::string>& references, bool is_insecure);

/// The text of `list`. `now` is for the ages of images.
std::string format_list(const std::vector<store::ImageRecord>& images, ListFormat format,
                        WallTime now);

/// The text of `list -v`: a record for each platform; one without a chain is not unpacked.
std::string format_platforms(const std::vector<store::ImageRecord>& images, ListFormat format,
                             WallTime now);

/// What comes in. Errors: Invalid for what is no platform.
Result<images::FetchOptions> fetch_options(const PlatformChoice& choice);

/// What goes out. Errors: as above.
Result<images::PlatformSelection> platform_selection(const PlatformChoice& choice);

/// "Untagged: …" and "Deleted: …", a line each.
std::string removal_text(const store::Removal& removal);

}  // namespace bulkhead::image_cli
