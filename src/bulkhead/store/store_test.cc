#include "bulkhead/store/store.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/oci/image_config.h"
#include "bulkhead/oci/media_type.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/io.h"
#include "bulkhead/store/catalog.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/ingest.h"

namespace bulkhead::store {
namespace {

using testing::ElementsAre;
using testing::Eq;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// The store does not hash, so any digest will do.
Digest digest(std::string_view beginning) {
  std::string hex(beginning);
  hex.resize(64, '0');
  return Digest::from_hex(DigestAlgorithm::Sha256, hex);
}

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    std::string pattern = testing::TempDir() + "bulkhead_store_XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    paths_.state = directory_ + "/state";
    paths_.run = directory_ + "/run";
  }

  void TearDown() override { static_cast<void>(os::remove_tree(directory_)); }

  Store open() {
    auto store = Store::open(paths_);
    EXPECT_THAT(store, IsOk());
    return *std::move(store);
  }

  /// An image of one layer; everything in it is named after `letter`.
  static ImageRecord record(const std::string& reference, const std::string& letter) {
    return {.reference = reference,
            .target = {.media_type = std::string(oci::kOciManifest),
                       .digest = digest(letter + "1"),
                       .size = 3},
            .manifest = digest(letter + "1"),
            .config = digest(letter + "2"),
            .chain = digest(letter + "4"),
            .platform = {"linux", "amd64", ""},
            .size_bytes = 100};
  }

  static std::vector<Edge> edges(const ImageRecord& record) {
    const std::string letter = record.manifest.hex().substr(0, 1);
    return {{record.manifest, record.config}, {record.manifest, digest(letter + "3")}};
  }

  static Result<> stage(Ingest& ingest, const ImageRecord& record) {
    const std::string letter = record.manifest.hex().substr(0, 1);
    BH_TRY(ingest.keep("{}", record.manifest));
    BH_TRY(ingest.keep(oci::ImageConfig().serialise(), record.config));
    BH_TRY(ingest.keep("layer", digest(letter + "3")));
    const RootFiles root = BH_TRY(ingest.create_root());
    BH_TRY(os::write_all(root.record.get(), as_bytes("record")));
    return os::write_all(root.image.get(), as_bytes("root"));
  }

  static std::vector<RootLayer> layers(const ImageRecord& record) {
    const std::string letter = record.manifest.hex().substr(0, 1);
    return {{.blob = digest(letter + "3"), .diff_id = digest(letter + "5")}};
  }

  static Result<> add(Store& store, const std::string& reference, const std::string& letter) {
    Ingest ingest = BH_TRY(store.begin_ingest());
    const ImageRecord image = record(reference, letter);
    BH_TRY(ingest.lock_chain(*image.chain));
    BH_TRY(stage(ingest, image));
    return ingest.publish(image, edges(image), layers(image));
  }

  Result<> add_container(const std::string& id, const std::string& text) {
    BH_TRY(os::make_directories(paths_.container_state(id)));
    return os::write_file_atomically(paths_.container_state(id) + "/container.json", text);
  }

  std::vector<std::string> names(const std::string& directory) {
    return os::list_directory(paths_.state + "/" + directory).value_or(std::vector<std::string>());
  }

  /// The files of that image's root, and no others.
  static auto root_of(const std::string& letter) {
    const std::string chain = digest(letter + "4").hex();
    return testing::UnorderedElementsAre(chain + ".ext4", chain + ".layers");
  }

  std::string directory_;
  config::Paths paths_;
};

const std::string kAlpine = "docker.io/library/alpine:latest";

TEST_F(StoreTest, FindsWhatWasPublished) {
  Store store = open();
  EXPECT_THAT(store.find("alpine"), IsOkAnd(Eq(std::nullopt)));
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  for (const std::string& name :
       {std::string("alpine"), std::string("docker.io/library/alpine:latest"),
        digest("a2").short_text(), digest("a2").text(), digest("a2").hex(), std::string("a2"),
        "alpine@" + digest("a1").text(), "alpine:3@" + digest("a1").text()}) {
    auto image = store.find(name);
    ASSERT_THAT(image, IsOk()) << name;
    ASSERT_TRUE(image->has_value()) << name;
    EXPECT_EQ((*image)->record.reference, kAlpine);
    EXPECT_EQ((*image)->root_path, paths_.roots() + "/" + digest("a4").hex() + ".ext4");
  }
  EXPECT_THAT(store.find("alpine:3"), IsOkAnd(Eq(std::nullopt)));
  EXPECT_THAT(store.find("other@" + digest("a1").text()), IsOkAnd(Eq(std::nullopt)));
  EXPECT_THAT(store.find("no image"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(names("content/ingest"), IsEmpty());
  EXPECT_THAT(names("roots"), root_of("a"));
}

TEST_F(StoreTest, SurvivesBeingOpenedAgain) {
  {
    Store store = open();
    ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  }
  Store store = open();
  const auto list = store.list();
  ASSERT_THAT(list, IsOkAnd(SizeIs(1)));
  EXPECT_EQ(list->front().target.media_type, oci::kOciManifest);
  EXPECT_EQ(list->front().size_bytes, 100);
}

TEST_F(StoreTest, RefusesAmbiguousIds) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ImageRecord other = record("docker.io/library/other:latest", "b");
  other.config = digest("a29");
  Ingest ingest = *store.begin_ingest();
  ASSERT_THAT(stage(ingest, other), IsOk());
  ASSERT_THAT(ingest.publish(other, edges(other), layers(other)), IsOk());
  EXPECT_THAT(store.find_record("a2"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(store.find_record("a29"), IsOk());
}

TEST_F(StoreTest, LeavesNothingOfASessionThatWasNotPublished) {
  Store store = open();
  {
    Ingest ingest = *store.begin_ingest();
    ASSERT_THAT(stage(ingest, record(kAlpine, "a")), IsOk());
    EXPECT_TRUE(ingest.has(digest("a1")));
    EXPECT_THAT(ingest.read(digest("a3"), 100), IsOkAnd(std::string("layer")));
    const auto writer = ingest.create_blob();
    ASSERT_THAT(writer, IsOk());
    EXPECT_THAT(names("content/ingest"), SizeIs(2));
  }
  EXPECT_THAT(names("content/ingest"), IsEmpty());
  EXPECT_THAT(names("content/blobs/sha256"), IsEmpty());
  EXPECT_THAT(names("roots"), IsEmpty());
  EXPECT_THAT(store.list(), IsOkAnd(IsEmpty()));
}

TEST_F(StoreTest, RemovesWhatDeadSessionsLeft) {
  Store store = open();
  const std::string dead = paths_.content() + "/ingest/0123456789abcdef";
  ASSERT_THAT(os::make_directories(dead), IsOk());
  ASSERT_THAT(os::write_file_atomically(dead + "/blob-0", "x"), IsOk());
  ASSERT_THAT(os::write_file_atomically(dead + ".lock", ""), IsOk());
  Ingest living = *store.begin_ingest();
  ASSERT_THAT(stage(living, record(kAlpine, "a")), IsOk());
  Ingest other = *store.begin_ingest();
  EXPECT_FALSE(os::path_exists(dead));
  EXPECT_TRUE(living.has(digest("a1")));
  EXPECT_THAT(names("content/ingest"), SizeIs(4));
}

TEST_F(StoreTest, DoesNotPublishWhatIsMissing) {
  Store store = open();
  Ingest ingest = *store.begin_ingest();
  const ImageRecord image = record(kAlpine, "a");
  ASSERT_THAT(ingest.keep("{}", image.manifest), IsOk());
  EXPECT_THAT(ingest.publish(image, edges(image), layers(image)), IsError(ErrorCode::NotFound));
  EXPECT_THAT(store.list(), IsOkAnd(IsEmpty()));
}

TEST_F(StoreTest, SharesBlobsBetweenImages) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  Ingest ingest = *store.begin_ingest();
  EXPECT_TRUE(ingest.has(digest("a3")));
  EXPECT_THAT(ingest.root(digest("a4")), IsOkAnd(testing::Eq(100)));
  EXPECT_THAT(ingest.root(digest("a5")), IsOkAnd(testing::Eq(std::nullopt)));
  EXPECT_THAT(ingest.publish(record("docker.io/library/two:latest", "a"),
                             edges(record("docker.io/library/two:latest", "a")), {}),
              IsOk());
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
}

TEST_F(StoreTest, FindsTheRootOfALayer) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  {
    Ingest ingest = *store.begin_ingest();
    const Digest diff_id = digest("a5");
    EXPECT_THAT(ingest.chain_with({.blob = digest("a3"), .diff_id = diff_id}),
                IsOkAnd(testing::Optional(digest("a4"))));
    // A tar is its own diff id; of any other blob nobody knows what it inflates to.
    EXPECT_THAT(ingest.chain_with({.blob = diff_id, .diff_id = diff_id}),
                IsOkAnd(testing::Optional(digest("a4"))));
    EXPECT_THAT(ingest.chain_with({.blob = digest("b3"), .diff_id = diff_id}),
                IsOkAnd(Eq(std::nullopt)));
    EXPECT_THAT(ingest.chain_with({.blob = digest("a3"), .diff_id = digest("b5")}),
                IsOkAnd(Eq(std::nullopt)));
    const auto files = ingest.open_root(digest("a4"));
    ASSERT_THAT(files, IsOk());
    EXPECT_THAT(os::read_to_end(files->record.get(), 100), IsOkAnd(std::string("record")));
    EXPECT_THAT(ingest.open_root(digest("b4")), IsError(ErrorCode::NotFound));
  }
  ASSERT_THAT(store.remove("alpine", RemoveMode::Careful), IsOk());
  Ingest ingest = *store.begin_ingest();
  EXPECT_THAT(ingest.chain_with({.blob = digest("a3"), .diff_id = digest("a5")}),
              IsOkAnd(Eq(std::nullopt)));
}

TEST_F(StoreTest, RemovesNamesFirstAndContentLast) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(add(store, "docker.io/library/two:latest", "a"), IsOk());
  ASSERT_THAT(add(store, "docker.io/library/b:latest", "b"), IsOk());
  const auto first = store.remove("alpine", RemoveMode::Careful);
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(first->untagged, ElementsAre(kAlpine));
  EXPECT_THAT(first->deleted, IsEmpty());
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(6));
  const auto second = store.remove("two", RemoveMode::Careful);
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(second->deleted, ElementsAre(digest("a2")));
  EXPECT_GT(second->freed_bytes, 0);
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
  EXPECT_THAT(names("roots"), root_of("b"));
  EXPECT_THAT(store.remove("two", RemoveMode::Careful), IsError(ErrorCode::NotFound));
  EXPECT_THAT(store.remove("../x", RemoveMode::Careful), IsError(ErrorCode::Invalid));
}

TEST_F(StoreTest, RemovesByIdOnlyOneNameUnlessForced) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(add(store, "docker.io/library/two:latest", "a"), IsOk());
  const auto careful = store.remove("a2", RemoveMode::Careful);
  ASSERT_THAT(careful, IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(careful.error().message(), HasSubstr("alpine:latest, two:latest"));
  const auto forced = store.remove("a2", RemoveMode::Force);
  ASSERT_THAT(forced, IsOk());
  EXPECT_THAT(forced->untagged, SizeIs(2));
  EXPECT_THAT(names("content/blobs/sha256"), IsEmpty());
}

TEST_F(StoreTest, KeepsWhatAContainerUses) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  const std::string root = paths_.roots() + "/" + digest("a4").hex() + ".ext4";
  ASSERT_THAT(add_container("c1", R"({"name":"web","image_id":")" + digest("a2").text() +
                                      R"(","root":")" + root + "\"}"),
              IsOk());
  const auto careful = store.remove("alpine", RemoveMode::Careful);
  ASSERT_THAT(careful, IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(careful.error().message(),
              HasSubstr("image alpine:latest is being used by container web"));
  const auto forced = store.remove("alpine", RemoveMode::Force);
  ASSERT_THAT(forced, IsOk());
  EXPECT_THAT(forced->deleted, IsEmpty());
  EXPECT_TRUE(os::path_exists(root));
  ASSERT_THAT(os::remove_tree(paths_.container_state("c1")), IsOk());
  EXPECT_THAT(store.collect(), IsOk());
  EXPECT_FALSE(os::path_exists(root));
}

TEST_F(StoreTest, AContainerOfAnEarlierImageDoesNotHoldTheName) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  const std::string root = paths_.roots() + "/" + digest("a4").hex() + ".ext4";
  ASSERT_THAT(add_container(
                  "c1", R"({"image_id":")" + digest("a2").text() + R"(","root":")" + root + "\"}"),
              IsOk());
  ASSERT_THAT(add(store, kAlpine, "b"), IsOk());
  ASSERT_THAT(store.collect_garbage(), IsOk());
  EXPECT_TRUE(os::path_exists(root));
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
  EXPECT_THAT(store.remove("alpine", RemoveMode::Careful), IsOk());
  EXPECT_TRUE(os::path_exists(root));
}

TEST_F(StoreTest, RemovesNothingWhenAContainersRecordCannotBeRead) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(add_container("c1", "{"), IsOk());
  EXPECT_THAT(store.remove("alpine", RemoveMode::Careful), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(store.collect(), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
  // One in the making has no record yet.
  ASSERT_THAT(os::remove_file(paths_.container_state("c1") + "/container.json"), IsOk());
  EXPECT_THAT(store.remove("alpine", RemoveMode::Careful), IsOk());
}

TEST_F(StoreTest, AnImageInHandIsNotCollected) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  {
    const auto image = store.find("alpine");
    ASSERT_THAT(image, IsOk());
    Store other = open();
    const auto removal = other.remove("alpine", RemoveMode::Careful);
    ASSERT_THAT(removal, IsOk());
    EXPECT_EQ(removal->freed_bytes, 0);
    EXPECT_TRUE(os::path_exists((*image)->root_path));
  }
  EXPECT_THAT(store.collect_garbage(), IsOk());
  EXPECT_THAT(names("roots"), IsEmpty());
  EXPECT_THAT(names("content/blobs/sha256"), IsEmpty());
}

TEST_F(StoreTest, ASessionsContentIsNotCollected) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  Ingest ingest = *store.begin_ingest();
  ASSERT_TRUE(ingest.has(digest("a3")));
  Store other = open();
  ASSERT_THAT(other.remove("alpine", RemoveMode::Careful), IsOk());
  EXPECT_TRUE(ingest.has(digest("a3")));
  const ImageRecord again = record("docker.io/library/again:latest", "a");
  EXPECT_THAT(ingest.publish(again, edges(again), layers(again)), IsOk());
}

TEST_F(StoreTest, SaysWhatIsDamaged) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(os::remove_file(paths_.roots() + "/" + digest("a4").hex() + ".ext4"), IsOk());
  const auto image = store.find("alpine");
  ASSERT_THAT(image, IsError(ErrorCode::Corrupt));
  EXPECT_THAT(image.error().message(), HasSubstr("image alpine:latest is damaged"));
}

TEST_F(StoreTest, OneSessionAtATimeUnpacksAChain) {
  Store store = open();
  Ingest first = *store.begin_ingest();
  ASSERT_THAT(first.lock_chain(digest("a4")), IsOk());
  const std::string lock = paths_.roots() + "/" + digest("a4").hex() + ".lock";
  EXPECT_THAT(os::FileLock::try_acquire(lock), IsOkAnd(Eq(std::nullopt)));
  const ImageRecord image = record(kAlpine, "a");
  ASSERT_THAT(stage(first, image), IsOk());
  ASSERT_THAT(first.publish(image, edges(image), layers(image)), IsOk());
  EXPECT_FALSE(os::path_exists(lock));
  EXPECT_THAT(first.lock_chain(digest("b4")), IsOk());
}

oci::Reference name(std::string_view text) { return oci::Reference::parse(text).value(); }

TEST_F(StoreTest, GivesNamesAndTakesThemAway) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(store.tag("alpine", name("other:1")), IsOk());
  EXPECT_EQ(store.find("other:1").value().value().record.config, digest("a2"));
  EXPECT_THAT(store.tag("absent", name("other:2")), IsError(ErrorCode::NotFound));
  EXPECT_THAT(store.tag("alpine", name("other@" + digest("a1").text())),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(store.untag(name("alpine")), IsOk());
  EXPECT_THAT(store.find("alpine"), IsOkAnd(Eq(std::nullopt)));
  EXPECT_THAT(store.untag(name("alpine")), IsError(ErrorCode::NotFound));
  EXPECT_THAT(store.untag(name("other:1")), IsError(ErrorCode::FailedPrecondition));
  EXPECT_THAT(store.list(), IsOkAnd(SizeIs(1)));
}

TEST_F(StoreTest, ANameThatMovesLeavesNoGarbage) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(add(store, "docker.io/library/b:1", "b"), IsOk());
  ASSERT_THAT(store.tag("b:1", name("alpine")), IsOk());
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
  EXPECT_THAT(names("roots"), root_of("b"));
}

TEST_F(StoreTest, PrunesWhatNoContainerUses) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(add(store, "docker.io/library/b:1", "b"), IsOk());
  ASSERT_THAT(store.tag("b:1", name("b:2")), IsOk());
  ASSERT_THAT(
      add_container("c1", R"({"name":"web","image_id":")" + digest("a2").text() + R"(","root":")" +
                              paths_.roots() + "/" + digest("a4").hex() + R"(.ext4"})"),
      IsOk());
  const auto dangling = store.prune(PruneMode::Dangling);
  ASSERT_THAT(dangling, IsOk());
  EXPECT_THAT(dangling->untagged, IsEmpty());
  const auto unused = store.prune(PruneMode::Unused);
  ASSERT_THAT(unused, IsOk());
  EXPECT_THAT(unused->untagged, SizeIs(2));
  EXPECT_THAT(unused->deleted, ElementsAre(digest("b2")));
  EXPECT_GT(unused->freed_bytes, 0U);
  EXPECT_THAT(names("roots"), root_of("a"));
  EXPECT_THAT(store.list(), IsOkAnd(SizeIs(1)));
}

TEST_F(StoreTest, PruningLeavesANameThatMovedMeanwhile) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(add(store, "docker.io/library/b:1", "b"), IsOk());
  const std::vector<ImageRecord> seen = *store.list();
  ASSERT_THAT(add(store, kAlpine, "c"), IsOk());
  auto catalog = Catalog::open(paths_.images_database());
  ASSERT_THAT(catalog, IsOk());
  const auto removed = catalog->remove_unchanged(seen);
  ASSERT_THAT(removed, IsOk());
  ASSERT_THAT(*removed, SizeIs(1));
  EXPECT_EQ(removed->front().reference, "docker.io/library/b:1");
  EXPECT_EQ(store.find("alpine").value().value().record.config, digest("c2"));
}

TEST_F(StoreTest, PruneTakesWhatNothingNames) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  const std::string stray = paths_.state + "/content/blobs/sha256/" + digest("ff").hex();
  ASSERT_THAT(os::write_file_atomically(stray, "stray"), IsOk());
  EXPECT_EQ(store.prune(PruneMode::Dangling).value().freed_bytes, 5U);
  EXPECT_FALSE(os::path_exists(stray));
}

TEST_F(StoreTest, KnowsWhatItTakesAndWhatCouldBeFreed) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  ASSERT_THAT(add(store, "docker.io/library/b:1", "b"), IsOk());
  const Usage before = store.usage().value();
  EXPECT_EQ(before.images, 2U);
  EXPECT_EQ(before.active_images, 0U);
  EXPECT_GT(before.bytes, 0U);
  EXPECT_EQ(before.reclaimable_bytes, before.bytes);
  ASSERT_THAT(add_container("c1", R"({"image_id":")" + digest("a2").text() + R"("})"), IsOk());
  const Usage after = store.usage().value();
  EXPECT_EQ(after.active_images, 1U);
  EXPECT_EQ(after.reclaimable_bytes, before.bytes / 2);
}

TEST_F(StoreTest, ChecksThatWhatTheDatabaseNamesIsThere) {
  Store store = open();
  ASSERT_THAT(add(store, kAlpine, "a"), IsOk());
  EXPECT_THAT(store.check_catalog(), IsOkAnd(IsEmpty()));
  ASSERT_THAT(os::remove_file(paths_.state + "/content/blobs/sha256/" + digest("a3").hex()),
              IsOk());
  ASSERT_THAT(os::remove_file(paths_.roots() + "/" + digest("a4").hex() + ".ext4"), IsOk());
  EXPECT_THAT(store.check_catalog(),
              IsOkAnd(ElementsAre(HasSubstr(digest("a3").text()), HasSubstr(digest("a4").text()))));
}

}  // namespace
}  // namespace bulkhead::store
