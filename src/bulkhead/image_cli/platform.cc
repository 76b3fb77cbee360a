#include "bulkhead/oci/platform.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"
#include "bulkhead/image_cli/commands.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/outgoing_image.h"

namespace bulkhead::image_cli {
namespace {

Result<std::vector<oci::Platform>> parse_platforms(const PlatformChoice& choice) {
  std::vector<oci::Platform> platforms;
  if (choice.platforms.empty() && !(choice.architecture.empty() && choice.os.empty())) {
    const oci::Platform host = oci::Platform::host();
    oci::Platform platform = BH_TRY(oci::Platform::parse(
        (choice.os.empty() ? host.os : choice.os) + "/" +
        (choice.architecture.empty() ? host.architecture : choice.architecture)));
    platforms.push_back(std::move(platform));
  }
  for (const std::string& text : choice.platforms) {
    for (const std::string_view one : split(text, ',')) {
      oci::Platform platform = BH_TRY(oci::Platform::parse(one));
      platforms.push_back(std::move(platform));
    }
  }
  return platforms;
}

}  // namespace

Result<images::FetchOptions> fetch_options(const PlatformChoice& choice) {
  images::FetchOptions options{.all_platforms = choice.all};
  std::vector<oci::Platform> platforms = BH_TRY(parse_platforms(choice));
  if (!platforms.empty()) {
    options.platform = std::move(platforms.front());
    platforms.erase(platforms.begin());
    options.more_platforms = std::move(platforms);
  }
  return options;
}

Result<images::PlatformSelection> platform_selection(const PlatformChoice& choice) {
  std::vector<oci::Platform> platforms = BH_TRY(parse_platforms(choice));
  return images::PlatformSelection{.platforms = std::move(platforms), .all = choice.all};
}

}  // namespace bulkhead::image_cli
