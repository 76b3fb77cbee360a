#include "bulkhead/images/save.h"

#include <unistd.h>

#include <utility>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/images/outgoing_image.h"
#include "bulkhead/os/terminal.h"
#include "bulkhead/store/store.h"

namespace bulkhead::image_cli {
namespace {

Result<images::SaveFormat> format_of(const SaveOptions& options) {
  if (options.format == "oci-archive") {
    return images::SaveFormat::OciArchive;
  }
  if (options.format == "docker-archive") {
    return images::SaveFormat::DockerArchive;
  }
  if (options.format == "oci-dir") {
    return images::SaveFormat::OciDirectory;
  }
  return fail(ErrorCode::Invalid, "save: unknown format {}", quote(options.format));
}

}  // namespace

Result<> save(store::Store& store, const SaveOptions& options) {
  const images::SaveFormat format = BH_TRY(format_of(options));
  if (options.path == "-") {
    if (format == images::SaveFormat::OciDirectory) {
      return fail(ErrorCode::Invalid, "save: a directory is needed: use -o DIRECTORY");
    }
    if (os::is_terminal(STDOUT_FILENO)) {
      return fail(ErrorCode::Invalid,
                  "save: an archive is not for a terminal: use -o FILE, or redirect the output");
    }
  }
  images::PlatformSelection which = BH_TRY(platform_selection(options.platform));
  return images::save(store, options.images, options.path,
                      {.format = format, .which = std::move(which)});
}

}  // namespace bulkhead::image_cli
