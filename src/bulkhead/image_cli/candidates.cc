#include "bulkhead/image_cli/candidates.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/text.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/program/complete.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/image_record.h"

namespace bulkhead::image_cli {
namespace {

using program::Candidate;

/// The platforms that registries' images usually have.
constexpr std::array<std::string_view, 7> kPlatforms = {
    "linux/amd64", "linux/arm64",   "linux/arm/v7", "linux/386",
    "linux/s390x", "linux/ppc64le", "linux/riscv64"};

std::vector<store::ImageRecord> records() {
  const auto paths = config::Paths::from_environment();
  if (!paths) {
    return {};
  }
  auto catalog = store::Catalog::open_existing(paths->images_database());
  auto list = catalog ? catalog->list() : catalog.error();
  return list ? *std::move(list) : std::vector<store::ImageRecord>();
}

/// Once, however many images have it.
void add(std::vector<Candidate>& found, std::string word, std::string description) {
  if (std::ranges::find(found, word, &Candidate::word) == found.end()) {
    found.push_back({.word = std::move(word), .description = std::move(description)});
  }
}

/// The last of a list with commas; those before stay.
std::vector<Candidate> platforms(const std::string& beginning) {
  const std::string before = beginning.substr(0, beginning.rfind(',') + 1);
  const std::string host = oci::Platform::host().text();
  std::vector<Candidate> found;
  for (const std::string_view platform : kPlatforms) {
    add(found, before + std::string(platform), platform == host ? "this machine's" : "");
  }
  return found;
}

}  // namespace

std::vector<Candidate> candidates(const program::Wanted& wanted) {
  if (wanted.placeholder == "PLATFORM") {
    return platforms(wanted.beginning);
  }
  std::vector<Candidate> found;
  for (const store::ImageRecord& record : records()) {
    const auto reference = oci::Reference::parse(record.reference);
    if (!reference) {
      continue;
    }
    if (wanted.placeholder == "IMAGE") {
      add(found, reference->familiar(), format_size(record.size_bytes));
    } else if (wanted.placeholder == "REPOSITORY") {
      add(found, reference->familiar_name(), {});
    } else if (wanted.placeholder == "REGISTRY") {
      add(found, reference->registry(), {});
    }
  }
  return found;
}

}  // namespace bulkhead::image_cli
