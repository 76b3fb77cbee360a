#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/result.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/images/root_record.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::images {

/// A layer in another root, from which it can be taken.
struct SharedLayer {
  std::shared_ptr<const RootRecord> root;
  RecordedLayer layer;
};

/// A root in the making, and the record of its layers. Layers come lowest first.
class RootMaker {
 public:
  /// Errors: NoSpace, Io.
  static Result<RootMaker> create(store::RootFiles files);

  /// Applies a tar; end_layer() follows when its digest was checked. Errors: those of
  /// ext4::apply_layer().
  Result<> apply(archive::Reader& tar);
  Result<> end_layer(const Digest& diff_id, std::uint64_t tar_bytes);

  /// Applies a layer of another root. Errors: those of RootRecord::replay().
  Result<> replay(const SharedLayer& shared);

  /// The last call.
  Result<> finish();

  [[nodiscard]] const store::RootFiles& files() const { return files_; }

 private:
  RootMaker(store::RootFiles files, ext4::Formatter formatter);

  store::RootFiles files_;
  ext4::Formatter formatter_;
  RootRecordWriter record_;
};

}  // namespace bulkhead::images
