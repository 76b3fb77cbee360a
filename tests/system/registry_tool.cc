// registry_tool COMMAND REFERENCE ARGUMENT: what the registry client can do and no command line
// offers, for registry_test.sh.

#include <cstdio>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/registry/client.h"

namespace {

using namespace bulkhead;  // NOLINT(google-build-using-namespace): this file is the program

Result<> run(const std::string& command, const std::string& name, const std::string& argument) {
  const oci::Reference reference = BH_TRY(oci::Reference::parse(name));
  const bool deletes = command == "delete-blob";
  const auto client = BH_TRY(registry::Client::create(
      reference, {.access = deletes ? registry::Access::Delete : registry::Access::Push}));
  if (command == "put-manifest") {
    const std::string content = BH_TRY(os::read_file(argument));
    const Digest digest = BH_TRY(hash::digest_of(as_bytes(content)));
    return client->push_manifest(content, std::string(oci::kOciManifest), digest.text(), digest);
  }
  if (command == "delete-blob") {
    const Digest digest = BH_TRY(Digest::parse(argument));
    return client->delete_blob(digest);
  }
  return fail(ErrorCode::Invalid, "no such command: {}", command);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    return EXIT_FAILURE;
  }
  const auto result = run(argv[1], argv[2], argv[3]);
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
