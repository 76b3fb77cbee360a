#include "bulkhead/images/load.h"

#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/images/images_test_fixture.h"
#include "bulkhead/images/layout.h"
#include "bulkhead/images/test_image.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/oci/reference.h"
#include "bulkhead/os/file.h"
#include "bulkhead/store/image_record.h"
#include "bulkhead/store/store.h"

namespace bulkhead::images {
namespace {

using archive::TarBuilder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

const std::string kLayout = R"({"imageLayoutVersion":"1.0.0"})";

std::string blob_path(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

std::vector<std::string> references(const Result<std::vector<store::ImageRecord>>& records) {
  std::vector<std::string> names;
  if (!records) {
    names.push_back("error: " + records.error().message());
    return names;
  }
  for (const store::ImageRecord& record : *records) {
    names.push_back(record.reference);
  }
  return names;
}

class LoadTest : public ImagesTest {
 protected:
  LoadTest() {
    image_.config.command = {"sh"};
    image_.layer(memory_, TarBuilder().file("hello", "world").finished());
    manifest_ = image_.finish(memory_);
  }

  std::string write(const std::string& name, const std::string& content) {
    std::string path = directory_ + "/" + name;
    EXPECT_THAT(os::write_file_atomically(path, content), IsOk());
    return path;
  }

  std::string entry(std::string_view annotations) {
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{},"annotations":{{{}}}}})",
                       manifest_.media_type, manifest_.digest.text(), manifest_.size, annotations);
  }

  static std::string index(const std::string& entries) {
    return R"({"schemaVersion":2,"manifests":[)" + entries + "]}";
  }

  /// Blobs of the image as members of a layout.
  TarBuilder& add_blobs(TarBuilder& tar) {
    for (const Digest& digest :
         {manifest_.digest, image_.manifest.config.digest, image_.manifest.layers[0].digest}) {
      tar.file(blob_path(digest), memory_.content(digest));
    }
    return tar;
  }

  std::string layout_tar(const std::string& entries) {
    TarBuilder tar;
    tar.directory("blobs").directory("blobs/sha256");
    // index.json last, as some tools write it.
    return add_blobs(tar).file("oci-layout", kLayout).file("index.json", index(entries)).finished();
  }

  Error failure(const std::string& path) {
    store::Store store = open();
    auto records = load(store, path);
    expect_empty(store);
    if (records) {
      ADD_FAILURE() << "it was loaded";
      return {ErrorCode::Internal, ""};
    }
    return std::move(records).error();
  }

  MemorySource memory_;
  TestImage image_;
  oci::Descriptor manifest_{.media_type = "", .digest = sha256("")};
};

TEST_F(LoadTest, LoadsAnOciArchive) {
  const std::string path =
      write("x.tar", layout_tar(entry(R"("org.opencontainers.image.ref.name":"docker.io/a/b:1")") +
                                "," + entry(R"("io.containerd.image.name":"quay.io/c:2",
                                   "org.opencontainers.image.ref.name":"2")")));
  store::Store store = open();
  const auto records = load(store, path);
  EXPECT_THAT(references(records), ElementsAre("docker.io/a/b:1", "quay.io/c:2"));
  EXPECT_EQ(records->front().target.digest, manifest_.digest);
  EXPECT_THAT(names("content/blobs/sha256"), SizeIs(3));
  EXPECT_THAT(names("content/ingest"), testing::IsEmpty());
}

TEST_F(LoadTest, NamesImagesAfterTheFileWhenTheyOnlyHaveATag) {
  store::Store store = open();
  EXPECT_THAT(references(load(
                  store, write("My App.tar.gz",
                               layout_tar(entry(R"("org.opencontainers.image.ref.name":"1.2")"))))),
              ElementsAre("docker.io/library/my-app:1.2"));
  EXPECT_THAT(references(load(store, write("busybox.tar", layout_tar(entry(""))))),
              ElementsAre("docker.io/library/busybox:latest"));
  EXPECT_EQ(base_name_for("/a/b/"), "b");
  EXPECT_EQ(base_name_for("/tmp/.tar"), "image");
  EXPECT_EQ(base_name_for("/tmp/--X__y--.oci.tar"), "x-y");
}

TEST_F(LoadTest, LoadsALayoutDirectory) {
  const std::string path = directory_ + "/layout";
  ASSERT_THAT(os::make_directories(path + "/blobs/sha256"), IsOk());
  write("layout/oci-layout", kLayout);
  write("layout/index.json", index(entry(R"("org.opencontainers.image.ref.name":"1")")));
  for (const Digest& digest :
       {manifest_.digest, image_.manifest.config.digest, image_.manifest.layers[0].digest}) {
    write("layout/" + blob_path(digest), memory_.content(digest));
  }
  store::Store store = open();
  EXPECT_THAT(references(load(store, path)), ElementsAre("docker.io/library/layout:1"));
}

TEST_F(LoadTest, ALayoutDirectoryMayHoldNoLinksAndNothingThatBlocks) {
  const std::string path = directory_ + "/layout";
  ASSERT_THAT(os::make_directories(path + "/blobs/sha256"), IsOk());
  write("secret", kLayout);
  ASSERT_EQ(::symlink("../secret", (path + "/oci-layout").c_str()), 0);
  EXPECT_EQ(failure(path).code(), ErrorCode::Invalid);
  ASSERT_THAT(os::remove_file(path + "/oci-layout"), IsOk());
  ASSERT_THAT(os::make_fifo(path + "/oci-layout"), IsOk());
  EXPECT_EQ(failure(path).code(), ErrorCode::Invalid);
  ASSERT_THAT(os::remove_file(path + "/oci-layout"), IsOk());
  EXPECT_EQ(failure(path).code(), ErrorCode::Invalid);
  write("layout/oci-layout", kLayout);
  write("layout/index.json", index(entry("")));
  // A blob that is a link to a good one outside.
  write("blob", memory_.content(manifest_.digest));
  ASSERT_EQ(::symlink("../../../blob", (path + "/" + blob_path(manifest_.digest)).c_str()), 0);
  EXPECT_EQ(failure(path).code(), ErrorCode::Invalid);
  // The directory of blobs is a link.
  ASSERT_THAT(os::remove_tree(path + "/blobs"), IsOk());
  ASSERT_EQ(::symlink("/", (path + "/blobs").c_str()), 0);
  EXPECT_EQ(failure(path).code(), ErrorCode::Invalid);
}

TEST_F(LoadTest, TakesThePlatformAmongManifestsOfOneName) {
  TestImage other;
  other.config.platform = {"linux", "s390x", ""};
  const oci::Descriptor foreign = other.finish(memory_);
  const auto with_platform = [](const oci::Descriptor& descriptor, std::string_view architecture) {
    return fmt::format(
        R"({{"mediaType":"{}","digest":"{}","size":{},"platform":{{"os":"linux","architecture":"{}"}},
            "annotations":{{"org.opencontainers.image.ref.name":"1"}}}})",
        descriptor.media_type, descriptor.digest.text(), descriptor.size, architecture);
  };
  store::Store store = open();
  const auto records = load(
      store,
      write("multi.tar", layout_tar(with_platform(foreign, "s390x") + "," +
                                    with_platform(manifest_, oci::Platform::host().architecture))));
  ASSERT_THAT(references(records), ElementsAre("docker.io/library/multi:1"));
  EXPECT_EQ(records->front().manifest, manifest_.digest);
}

TEST_F(LoadTest, LoadsADockerArchive) {
  const std::string config = memory_.content(image_.manifest.config.digest);
  const std::string layer = memory_.content(image_.manifest.layers[0].digest);
  const std::string hex = image_.manifest.config.digest.hex();
  TarBuilder tar;
  tar.file("abc/layer.tar", layer)
      .symlink("abc-again/layer.tar", "../abc/layer.tar")
      .file(hex + ".json", config)
      .file("repositories", "{}")
      .file("manifest.json",
            R"([{"Config":")" + hex +
                R"(.json","RepoTags":["one:1","localhost:5000/two:2"],"Layers":["abc/layer.tar"]},
                {"Config":")" +
                hex + R"(.json","RepoTags":null,"Layers":["abc-again/layer.tar"]}])");
  store::Store store = open();
  const auto records = load(store, write("saved.tar", tar.finished()));
  EXPECT_THAT(references(records), ElementsAre("docker.io/library/one:1", "localhost:5000/two:2",
                                               "docker.io/library/saved:latest"));
  EXPECT_EQ(records->front().config, image_.manifest.config.digest);
  EXPECT_THAT(roots(), SizeIs(1));
}

TEST_F(LoadTest, RefusesWhatIsNoArchive) {
  EXPECT_EQ(failure(directory_ + "/absent").code(), ErrorCode::NotFound);
  EXPECT_EQ(failure(write("empty", "")).code(), ErrorCode::Invalid);
  EXPECT_EQ(failure(write("text", std::string(2000, 'x'))).code(), ErrorCode::Corrupt);
  const Error plain = failure(write("plain.tar", TarBuilder().file("etc/passwd", "").finished()));
  EXPECT_EQ(plain.code(), ErrorCode::Invalid);
  EXPECT_THAT(plain.message(), HasSubstr("image import"));
  const std::string good = layout_tar(entry(""));
  EXPECT_EQ(failure(write("cut", good.substr(0, 2000))).code(), ErrorCode::Corrupt);
  EXPECT_EQ(failure("/dev/null").code(), ErrorCode::Invalid);
}

TEST_F(LoadTest, NamesInAnArchiveTouchNothing) {
  for (const std::string_view name :
       {"../../escaped", "blobs/../../escaped", "blobs/sha256/../../../x"}) {
    TarBuilder tar;
    add_blobs(tar)
        .file(std::string(name), "x")
        .file("oci-layout", kLayout)
        .file("index.json", index(entry("")));
    EXPECT_EQ(failure(write("escape.tar", tar.finished())).code(), ErrorCode::Invalid) << name;
  }
  // An absolute name is a name below the root of the archive, and goes nowhere.
  TarBuilder tar;
  add_blobs(tar)
      .file(directory_ + "/escaped", "x")
      .file("oci-layout", kLayout)
      .file("index.json", index(entry("")));
  store::Store store = open();
  EXPECT_THAT(load(store, write("absolute.tar", tar.finished())), IsOk());
  EXPECT_FALSE(os::path_exists(directory_ + "/escaped"));
}

TEST_F(LoadTest, RefusesLinksAndDevices) {
  write("secret.json", index(entry("")));
  TarBuilder symlink;
  add_blobs(symlink).file("oci-layout", kLayout).symlink("index.json", directory_ + "/secret.json");
  EXPECT_EQ(failure(write("symlink.tar", symlink.finished())).code(), ErrorCode::Invalid);
  TarBuilder hard;
  add_blobs(hard).file("oci-layout", kLayout).hard_link("index.json", "secret.json");
  EXPECT_EQ(failure(write("hard.tar", hard.finished())).code(), ErrorCode::Invalid);
  TarBuilder device;
  add_blobs(device)
      .add({.name = "dev", .type = '3', .device_major = 1, .device_minor = 3})
      .file("oci-layout", kLayout)
      .file("index.json", index(entry("")));
  EXPECT_EQ(failure(write("device.tar", device.finished())).code(), ErrorCode::Invalid);
  // A docker-archive whose layer is a link out of it.
  TarBuilder docker;
  docker.file("c.json", memory_.content(image_.manifest.config.digest))
      .symlink("l.tar", directory_ + "/secret.json")
      .file("manifest.json", R"([{"Config":"c.json","RepoTags":["x:1"],"Layers":["l.tar"]}])");
  EXPECT_EQ(failure(write("docker.tar", docker.finished())).code(), ErrorCode::NotFound);
}

TEST_F(LoadTest, RefusesDamagedBlobs) {
  TarBuilder tar;
  tar.file(blob_path(manifest_.digest), memory_.content(manifest_.digest))
      .file(blob_path(image_.manifest.config.digest), "{}")
      .file(blob_path(image_.manifest.layers[0].digest), "x")
      .file("oci-layout", kLayout)
      .file("index.json", index(entry("")));
  const Error error = failure(write("damaged.tar", tar.finished()));
  EXPECT_EQ(error.code(), ErrorCode::Corrupt);
  EXPECT_THAT(error.message(), HasSubstr(image_.manifest.config.digest.text()));
}

TEST_F(LoadTest, RefusesBadLayouts) {
  const auto with = [&](const std::string& layout, const std::string& index_json) {
    TarBuilder tar;
    return failure(write("bad.tar", add_blobs(tar)
                                        .file("oci-layout", layout)
                                        .file("index.json", index_json)
                                        .finished()))
        .code();
  };
  EXPECT_EQ(with("{}", index(entry(""))), ErrorCode::Invalid);
  EXPECT_EQ(with(R"({"imageLayoutVersion":"2.0.0"})", index(entry(""))), ErrorCode::Unsupported);
  EXPECT_EQ(with(kLayout, "{"), ErrorCode::Invalid);
  EXPECT_EQ(with(kLayout, index("")), ErrorCode::Invalid);
  EXPECT_EQ(with(kLayout, memory_.content(manifest_.digest)), ErrorCode::Invalid);
  EXPECT_EQ(with(kLayout, index(entry(R"("org.opencontainers.image.ref.name":"a/../b:1")"))),
            ErrorCode::Invalid);
  EXPECT_EQ(with(kLayout, index(entry(R"("io.containerd.image.name":"x y")"))), ErrorCode::Invalid);
}

TEST_F(LoadTest, RefusesBadDockerArchives) {
  const auto with = [&](const std::string& manifest_json) {
    TarBuilder tar;
    tar.file("c.json", memory_.content(image_.manifest.config.digest))
        .file("l.tar", memory_.content(image_.manifest.layers[0].digest))
        .file("manifest.json", manifest_json);
    return failure(write("bad.tar", tar.finished())).code();
  };
  EXPECT_EQ(with("{}"), ErrorCode::Invalid);
  EXPECT_EQ(with("[]"), ErrorCode::Invalid);
  EXPECT_EQ(with("[1]"), ErrorCode::Invalid);
  EXPECT_EQ(with(R"([{"Config":"../../c.json","Layers":["l.tar"]}])"), ErrorCode::Invalid);
  EXPECT_EQ(with(R"([{"Config":"x.json","Layers":["l.tar"]}])"), ErrorCode::NotFound);
  EXPECT_EQ(with(R"([{"Config":"c.json","Layers":[]}])"), ErrorCode::Invalid);
  EXPECT_EQ(with(R"([{"Config":"c.json","Layers":["l.tar","l.tar"]}])"), ErrorCode::Invalid);
  EXPECT_EQ(with(R"([{"Config":"c.json","RepoTags":["X"],"Layers":["l.tar"]}])"),
            ErrorCode::Invalid);
}

TEST_F(LoadTest, ImportsAPlainTar) {
  const std::string tar = TarBuilder().directory("bin").file("bin/sh", "#!").finished();
  store::Store store = open();
  const auto record =
      import_tar(store, write("rootfs.tar", tar), oci::Reference::parse("mine:1").value());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->reference, "docker.io/library/mine:1");
  EXPECT_EQ(record->chain, sha256(tar));
  EXPECT_EQ(record->size_bytes, tar.size());
  const auto image = store.find("mine:1");
  ASSERT_THAT(image, IsOk());
  EXPECT_THAT((*image)->config.diff_ids, ElementsAre(sha256(tar)));
  EXPECT_EQ((*image)->config.history.at(0).comment, "imported from rootfs.tar");
  EXPECT_TRUE(os::path_exists(paths_.content() + "/" + blob_path(sha256(tar))));
  // The same content under another name shares layer and root.
  ASSERT_THAT(import_tar(store, write("rootfs.tar", tar), oci::Reference::parse("other").value()),
              IsOk());
  EXPECT_THAT(roots(), SizeIs(1));
}

TEST_F(LoadTest, RefusesToImportWhatIsNoTar) {
  store::Store store = open();
  const oci::Reference name = oci::Reference::parse("x").value();
  EXPECT_THAT(import_tar(store, write("x", std::string(5000, 'x')), name),
              IsError(ErrorCode::Corrupt));
  EXPECT_THAT(import_tar(store, write("x", std::string("\x1f\x8b\x08garbage")), name),
              IsError(ErrorCode::Corrupt));
  EXPECT_THAT(import_tar(store, directory_ + "/absent", name), IsError(ErrorCode::NotFound));
  EXPECT_THAT(import_tar(store, write("x", TarBuilder().file("../x", "").finished()), name),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(import_tar(store, "x", oci::Reference::parse("x@" + sha256("").text()).value()),
              IsError(ErrorCode::Invalid));
  expect_empty(store);
}

}  // namespace
}  // namespace bulkhead::images
