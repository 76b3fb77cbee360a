#include "bulkhead/hash/hasher.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/testing.h"

namespace bulkhead::hash {
namespace {

// Vectors: FIPS 180-4 examples.
TEST(Hasher, KnowsSha256) {
  EXPECT_EQ(digest_of(as_bytes("abc"))->text(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of({})->text(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Hasher, KnowsSha512) {
  EXPECT_EQ(digest_of(as_bytes("abc"), DigestAlgorithm::Sha512)->text(),
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST(Hasher, TakesDataInPieces) {
  const std::string text(100'000, 'a');
  auto hasher = Hasher::create();
  ASSERT_THAT(hasher, IsOk());
  for (std::size_t at = 0; at < text.size(); at += 977) {
    hasher->update(as_bytes(text).subspan(at, std::min<std::size_t>(977, text.size() - at)));
  }
  EXPECT_EQ(hasher->finish(), *digest_of(as_bytes(text)));
}

TEST(Hasher, StartsOverAfterFinish) {
  auto hasher = Hasher::create(DigestAlgorithm::Sha512);
  ASSERT_THAT(hasher, IsOk());
  hasher->update(as_bytes("something else"));
  std::ignore = hasher->finish();
  hasher->update(as_bytes("abc"));
  EXPECT_EQ(hasher->algorithm(), DigestAlgorithm::Sha512);
  EXPECT_EQ(hasher->finish(), *digest_of(as_bytes("abc"), DigestAlgorithm::Sha512));
}

}  // namespace
}  // namespace bulkhead::hash
