#include "bulkhead/images/root_maker.h"

#include <cstdint>
#include <tuple>
#include <utility>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/tar_importer.h"
#include "bulkhead/images/root_record.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {

RootMaker::RootMaker(store::RootFiles files, ext4::Formatter formatter)
    : files_(std::move(files)), formatter_(std::move(formatter)), record_(files_.record.get()) {}

Result<RootMaker> RootMaker::create(store::RootFiles files) {
  ext4::Formatter formatter =
      BH_TRY(ext4::Formatter::create(files.image.get(), {.keep_replaced = true}));
  return RootMaker(std::move(files), std::move(formatter));
}

Result<> RootMaker::apply(archive::Reader& tar) {
  std::ignore = BH_TRY(ext4::apply_layer(formatter_, tar, {.recorder = &record_.begin_layer()}));
  return {};
}

Result<> RootMaker::end_layer(const Digest& diff_id, std::uint64_t tar_bytes) {
  return record_.end_layer(diff_id, tar_bytes).context("write root");
}

Result<> RootMaker::replay(const SharedLayer& shared) {
  BH_TRY(shared.root->replay(shared.layer, formatter_, record_.begin_layer()));
  return end_layer(shared.layer.diff_id, shared.layer.tar_bytes);
}

Result<> RootMaker::finish() {
  const ext4::FormatResult root = BH_TRY(std::move(formatter_).finish().context("write root"));
  return record_.finish(root).context("write root");
}

}  // namespace bulkhead::images
