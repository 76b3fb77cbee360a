#include "bulkhead/images/layer.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/hash/hasher.h"
#include "bulkhead/images/layer_pipe.h"
#include "bulkhead/images/root_maker.h"
#include "bulkhead/images/streams.h"

namespace bulkhead::images {
namespace {

/// Ends with ResourceExhausted at the first byte beyond what the whole image may still take.
class BudgetReader final : public archive::Reader {
 public:
  BudgetReader(archive::Reader& source, std::uint64_t most) : source_(source), left_(most) {}

  Result<Bytes> next() override {
    const Bytes piece = BH_TRY(source_.next());
    BH_TRY(check_budget(piece.size(), left_));
    left_ -= piece.size();
    return piece;
  }

 private:
  archive::Reader& source_;
  std::uint64_t left_;
};

Result<> apply(archive::Reader& tar, RootMaker* root) {
  if (root != nullptr) {
    PaddingReader padded(tar);
    BH_TRY(root->apply(padded));
  }
  // Also what stands after the end of the archive belongs to the digests.
  std::ignore = BH_TRY(archive::drain(tar));
  return {};
}

}  // namespace

Result<Digest> chain_id(const std::vector<Digest>& diff_ids) {
  if (diff_ids.empty()) {
    return hash::digest_of({});
  }
  Digest chain = diff_ids.front();
  for (std::size_t index = 1; index < diff_ids.size(); ++index) {
    const std::string pair = chain.text() + " " + diff_ids[index].text();
    chain = BH_TRY(hash::digest_of(as_bytes(pair)));
  }
  return chain;
}

Result<> check_budget(std::uint64_t tar_bytes, std::uint64_t left) {
  if (tar_bytes > left) {
    return fail(ErrorCode::ResourceExhausted, "its layers are more than {} bytes together",
                kMostUnpackedBytes);
  }
  return {};
}

Result<LayerPipe::Finished> apply_layer(LayerPipe& pipe, RootMaker* root,
                                        std::uint64_t most_tar_bytes) {
  BudgetReader tar(pipe.tar(), most_tar_bytes);
  LayerPipe::Finished done = BH_TRY(pipe.finish(apply(tar, root)));
  if (root != nullptr) {
    BH_TRY(root->end_layer(done.diff_id, done.tar_bytes));
  }
  return done;
}

}  // namespace bulkhead::images
