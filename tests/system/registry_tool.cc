// registry_tool COMMAND REFERENCE [ARGUMENT]: what the registry client can do and no command line
// offers, for registry_test.sh.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/registry/client.h"

namespace {

using namespace bulkhead;  // NOLINT(google-build-using-namespace): this file is the program

void print_lines(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    fmt::print("{}\n", line);
  }
}

Result<> run(const std::string& command, const std::string& name, const std::string& argument) {
  const oci::Reference reference = BH_TRY(oci::Reference::parse(name));
  const bool deletes = command.starts_with("delete");
  const auto client = BH_TRY(registry::Client::create(
      reference, {.access = deletes ? registry::Access::Delete : registry::Access::Push}));
  if (command == "ping") {
    return client->ping();
  }
  if (command == "tags") {
    print_lines(BH_TRY(client->tags()));
    return {};
  }
  if (command == "catalog") {
    print_lines(BH_TRY(client->catalog(argument)));
    return {};
  }
  if (command == "referrers") {
    const Digest subject = BH_TRY(Digest::parse(argument));
    for (const oci::Descriptor& one : BH_TRY(client->referrers(subject))) {
      fmt::print("{} {}\n", one.digest.text(), one.artifact_type);
    }
    return {};
  }
  if (command == "put-manifest") {
    const std::string content = BH_TRY(os::read_file(argument));
    const Digest digest = BH_TRY(hash::digest_of(as_bytes(content)));
    return client->push_manifest(content, std::string(oci::kOciManifest), digest.text(), digest);
  }
  if (command == "delete-manifest") {
    return client->delete_manifest(argument);
  }
  if (command == "delete-blob") {
    const Digest digest = BH_TRY(Digest::parse(argument));
    return client->delete_blob(digest);
  }
  return fail(ErrorCode::Invalid, "no such command: {}", command);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    return EXIT_FAILURE;
  }
  const auto result = run(argv[1], argv[2], argc > 3 ? argv[3] : "");
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
