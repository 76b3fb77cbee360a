// The least that unpacking a layer costs: read, SHA-256, ISA-L's inflater, SHA-256, write.
// usage: images_floor OUT LAYER...

#include <fcntl.h>

#include <cstdlib>
#include <memory>
#include <tuple>

#include <fmt/format.h>

#include "bulkhead/archive/inflate.h"
#include "bulkhead/archive/stream.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"

namespace {

using namespace bulkhead;  // NOLINT(google-build-using-namespace): this file is the program

Result<> unpack(const char* path, archive::Writer& out) {
  const os::UniqueFd fd = BH_TRY(os::open_file(path, O_RDONLY));
  archive::FdReader file(fd.get());
  hash::Hasher blob_hasher = BH_TRY(hash::Hasher::create());
  archive::HashingReader blob(file, blob_hasher);
  const archive::DetectedInflater inflater = BH_TRY(archive::detect_inflater(blob));
  hash::Hasher tar_hasher = BH_TRY(hash::Hasher::create());
  archive::HashingReader tar(*inflater.reader, tar_hasher);
  std::ignore = BH_TRY(archive::copy(tar, out));
  fmt::print("{} {}\n", blob_hasher.finish().text(), tar_hasher.finish().text());
  return {};
}

Result<> run(int argc, char** argv) {
  if (argc < 3) {
    return fail(ErrorCode::Invalid, "usage: images_floor OUT LAYER...");
  }
  const os::UniqueFd fd = BH_TRY(os::open_file(argv[1], O_WRONLY | O_CREAT | O_TRUNC));
  archive::FdWriter out(fd.get());
  for (int index = 2; index < argc; ++index) {
    BH_TRY(unpack(argv[index], out));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto result = run(argc, argv); !result) {
    fmt::print(stderr, "images_floor: {}\n", result.error().message());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
