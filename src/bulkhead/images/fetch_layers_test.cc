#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/config/paths.h"
#include "bulkhead/images/fetch.h"
#include "bulkhead/images/images_test_fixture.h"
#include "bulkhead/images/progress.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/images/verify.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/os/file_space.h"
#include "bulkhead/os/io.h"
#include "bulkhead/os/unique_fd.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

using archive::TarBuilder;
using testing::ElementsAre;
using testing::IsEmpty;

/// What was read and what was not.
class LayerLog final : public Progress {
 public:
  void layer_present(const Digest& digest) override { present.push_back(digest); }

  void layer_started(const Digest& digest, std::uint64_t /*size_bytes*/) override {
    read.push_back(digest);
  }

  std::vector<Digest> present;
  std::vector<Digest> read;
};

class SharedLayersTest : public ImagesTest {
 protected:
  SharedLayersTest() {
    image({base_, apps_}, "first");
    EXPECT_THAT(fetch_image("first"), IsOk());
  }

  void image(const std::vector<std::string>& tars, const std::string& name) {
    images_[name] = {};
    for (const std::string& tar : tars) {
      images_[name].layer(source_, tar);
    }
    images_[name].finish(source_);
  }

  Result<store::ImageRecord> fetch_image(const std::string& name) {
    images_[name].finish(source_);
    log_.present.clear();
    log_.read.clear();
    store::Store store = open();
    return fetch(store, source_, oci::Reference::parse("test/" + name).value(),
                 {.progress = &log_});
  }

  /// Where a file has data, and which.
  static std::string data_of(const std::string& path) {
    const os::UniqueFd file = os::open_file(path, O_RDONLY).value();
    std::string text;
    for (std::uint64_t at = 0; const auto range = os::next_data(file.get(), at).value();) {
      std::string data(range->length, '\0');
      EXPECT_THAT(
          os::pread_exactly(file.get(), std::as_writable_bytes(std::span(data)), range->offset),
          IsOk());
      text += std::to_string(range->offset) + ":" + data;
      at = range->offset + range->length;
    }
    return text;
  }

  /// The two files of an image's root.
  static std::string files(const config::Paths& paths, const Digest& chain) {
    const std::string path = paths.roots() + "/" + chain.hex();
    return data_of(path + ".ext4") + os::read_file(path + ".layers").value();
  }

  /// Fetches a second image; its root is what an empty store makes of it.
  void expect_same_root(const std::string& name) {
    const auto record = fetch_image(name);
    ASSERT_THAT(record, IsOk());
    config::Paths paths;
    paths.state = directory_ + "/other/state";
    paths.run = directory_ + "/other/run";
    auto store = store::Store::open(paths);
    ASSERT_THAT(store, IsOk());
    ASSERT_THAT(fetch(*store, source_, oci::Reference::parse("test/x").value()), IsOk());
    EXPECT_TRUE(files(paths_, *record->chain) == files(paths, *record->chain));
    ASSERT_THAT(os::remove_tree(directory_ + "/other"), IsOk());
  }

  void spoil_blob(const std::string& tar) {
    ASSERT_THAT(
        os::write_file_atomically(paths_.content() + "/blobs/sha256/" + sha256(tar).hex(), "gone"),
        IsOk());
  }

  std::string record_path() {
    const std::string root = roots().at(0);
    return paths_.roots() + "/" + root.substr(0, root.rfind('.')) + ".layers";
  }

  const std::string base_ = TarBuilder()
                                .directory("etc")
                                .file("etc/passwd", "root")
                                .file("big", std::string(100'000, 'b'))
                                .finished();
  const std::string apps_ = TarBuilder()
                                .file("etc/passwd", "root and app")
                                .file("app", std::string(50'000, 'a'))
                                .file(".wh.big", "")
                                .finished();
  const std::string own_ = TarBuilder().file("own", "x").file("etc/own", "y").finished();

  MemorySource source_;
  std::map<std::string, TestImage> images_;
  LayerLog log_;
};

TEST_F(SharedLayersTest, AreNotReadForASecondImage) {
  image({base_, own_}, "second");
  // Whoever reads it finds out.
  spoil_blob(base_);
  const auto record = fetch_image("second");
  ASSERT_THAT(record, IsOk());
  EXPECT_THAT(log_.present, ElementsAre(sha256(base_)));
  EXPECT_THAT(log_.read, ElementsAre(sha256(own_)));
  EXPECT_EQ(record->size_bytes, base_.size() + own_.size());
}

TEST_F(SharedLayersTest, AreTakenWhereverTheyStand) {
  image({own_, apps_, base_, apps_}, "second");
  expect_same_root("second");
  EXPECT_THAT(log_.read, ElementsAre(sha256(own_)));
  // Of two roots, one of which was made from the other.
  image({own_, base_}, "third");
  expect_same_root("third");
  EXPECT_THAT(log_.read, IsEmpty());
  store::Store store = open();
  const auto report = verify(store, VerifyMode::Report);
  ASSERT_THAT(report, IsOk());
  EXPECT_THAT(report->damage, IsEmpty());
}

TEST_F(SharedLayersTest, AreInflatedWhereTheRecordIsOfNoUse) {
  image({base_, own_}, "second");
  const std::string good = os::read_file(record_path()).value();
  std::vector<std::string> bad{"", good.substr(0, good.size() / 2), good + "x"};
  for (std::size_t at = 0; at < good.size(); at += 7) {
    bad.push_back(good);
    bad.back()[at] = static_cast<char>(bad.back()[at] ^ 0x08);
  }
  for (const std::string& record : bad) {
    ASSERT_THAT(os::write_file_atomically(record_path(), record), IsOk());
    expect_same_root("second");
    store::Store store = open();
    ASSERT_THAT(store.remove("test/second", store::RemoveMode::Careful), IsOk());
  }
  ASSERT_THAT(os::remove_file(record_path()), IsOk());
  expect_same_root("second");
  EXPECT_THAT(log_.read, ElementsAre(sha256(base_), sha256(own_)));
}

TEST_F(SharedLayersTest, AreNotTakenForABlobThatWasNotSeenToHoldThem) {
  image({own_}, "other");
  ASSERT_THAT(fetch_image("other"), IsOk());
  // The diff id of one layer, the blob of another; both are there.
  image({base_}, "liar");
  images_["liar"].manifest.layers[0] = images_["other"].manifest.layers[0];
  EXPECT_THAT(fetch_image("liar"), IsError(ErrorCode::Corrupt));
}

TEST_F(SharedLayersTest, AreInflatedAgainWhenTheirRootIsGone) {
  image({base_, own_}, "second");
  ASSERT_THAT(os::remove_file(paths_.roots() + "/" + roots().at(0)), IsOk());
  expect_same_root("second");
  EXPECT_THAT(log_.read, ElementsAre(sha256(base_), sha256(own_)));
}

}  // namespace
}  // namespace bulkhead::images
