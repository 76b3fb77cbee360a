#include "bulkhead/ext4/tar_exporter.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_reader.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/device.h"
#include "bulkhead/ext4/formatter.h"
#include "bulkhead/ext4/on_disk.h"
#include "bulkhead/ext4/reader.h"
#include "bulkhead/ext4/reader_inode.h"
#include "bulkhead/ext4/source.h"
#include "bulkhead/ext4/tar_importer.h"

namespace bulkhead::ext4 {
namespace {

using ::testing::ElementsAre;

using ImageBytes = std::vector<std::byte>;

Result<ImageBytes> finish(Formatter formatter, const MemoryDevice& device) {
  const FormatResult result = BH_TRY(std::move(formatter).finish());
  return device.read(0, static_cast<std::size_t>(result.size_bytes));
}

Result<ImageBytes> make_image() {
  MemoryDevice device;
  Formatter formatter = BH_TRY(Formatter::create(device, {}));
  const std::array<Xattr, 1> xattrs{Xattr{"security.capability", as_bytes("cap")}};
  const Attributes attributes{.permissions = 04755,
                              .uid = 4'000'000'000,
                              .gid = 7,
                              .modified = {.seconds = 5'000'000'000, .nanoseconds = 7},
                              .accessed = std::nullopt};
  BH_TRY(formatter.begin_file("bin/tool", attributes, xattrs));
  BH_TRY(formatter.append(as_bytes("tool")));
  BH_TRY(formatter.append_hole(std::uint64_t{10} << 30U));
  BH_TRY(formatter.append(as_bytes("end")));
  BH_TRY(formatter.append_hole(10'000));
  BH_TRY(formatter.end_file());
  BH_TRY(formatter.make_hard_link("bin/other", "bin/tool"));
  BH_TRY(formatter.make_symlink("link", std::string(150, 'x'), attributes));
  BH_TRY(formatter.make_node("null", NodeType::CharacterDevice, {1, 3}, attributes));
  BH_TRY(formatter.make_node("socket", NodeType::Socket, {}, attributes));
  BH_TRY(formatter.make_directory("\xff/" + std::string(255, 'n'), attributes, xattrs));
  return finish(std::move(formatter), device);
}

Result<std::string> export_of(Bytes bytes, ExportResult& result, const char* path = "") {
  MemorySource source(bytes);
  Image image = BH_TRY(Image::open(source));
  const Inode top = BH_TRY(image.resolve(path));
  archive::MemoryWriter to;
  result = BH_TRY(export_tar(image, top, path, to));
  return to.content();
}

TEST(TarExporter, WritesWhatImportsToTheSameTree) {
  const auto image = make_image();
  ASSERT_THAT(image, IsOk());
  ExportResult result;
  const auto first = export_of(*image, result);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(result.sockets, 1U);
  EXPECT_LT(first->size(), 100'000U);

  MemoryDevice device;
  auto formatter = Formatter::create(device, {});
  ASSERT_THAT(formatter, IsOk());
  archive::BytesReader reader(as_bytes(*first));
  ASSERT_THAT(apply_layer(*formatter, reader, {}), IsOk());
  const auto again = finish(std::move(*formatter), device);
  ASSERT_THAT(again, IsOk());
  const auto second = export_of(*again, result);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(result.sockets, 0U);
  EXPECT_TRUE(*first == *second);
}

TEST(TarExporter, WritesOneFileAndPartsOfTheTree) {
  const auto image = make_image();
  ASSERT_THAT(image, IsOk());
  ExportResult result;
  ASSERT_THAT(export_of(*image, result, "bin"), IsOk());
  EXPECT_EQ(result.entries, 3U);
  ASSERT_THAT(export_of(*image, result, "bin/tool"), IsOk());
  EXPECT_EQ(result.entries, 1U);
}

Result<> add_file(Formatter& formatter, std::string_view path, std::string_view content,
                  std::span<const Xattr> xattrs = {}) {
  BH_TRY(formatter.begin_file(path, {}, xattrs));
  BH_TRY(formatter.append(as_bytes(content)));
  return formatter.end_file();
}

Result<ImageBytes> make_lower() {
  MemoryDevice device;
  Formatter formatter = BH_TRY(Formatter::create(device, {}));
  BH_TRY(add_file(formatter, "changed", "before"));
  BH_TRY(add_file(formatter, "deleted", ""));
  BH_TRY(add_file(formatter, "directory-now", ""));
  BH_TRY(add_file(formatter, "kept", ""));
  BH_TRY(formatter.make_hard_link("kept-too", "kept"));
  BH_TRY(formatter.make_hard_link("merged/a", "kept"));
  BH_TRY(add_file(formatter, "merged/b", ""));
  BH_TRY(add_file(formatter, "opaque/hidden", ""));
  BH_TRY(add_file(formatter, "file-now/hidden", ""));
  BH_TRY(formatter.make_node("was-never-there", NodeType::CharacterDevice, {}, {}));
  return finish(std::move(formatter), device);
}

struct Overlay {
  ImageBytes upper;
  ImageBytes lower;
};

/// `xattr` on the directory "merged" of the upper layer.
Result<Overlay> make_overlay(Xattr xattr = {"trusted.overlay.impure", as_bytes("y")}) {
  MemoryDevice device;
  Formatter formatter = BH_TRY(Formatter::create(device, {}));
  const std::array<Xattr, 2> origin{Xattr{"trusted.overlay.origin", as_bytes("handle")},
                                    Xattr{"user.colour", as_bytes("green")}};
  const std::array<Xattr, 1> opaque{Xattr{"trusted.overlay.opaque", as_bytes("y")}};
  const std::array<Xattr, 1> of_merged{xattr};
  const Attributes changed{.permissions = 0700, .uid = 7, .gid = 8, .modified = {}, .accessed = {}};
  BH_TRY(formatter.make_directory("upper/merged", changed, of_merged));
  BH_TRY(formatter.make_node("upper/merged/b", NodeType::CharacterDevice, {}, {}));
  BH_TRY(add_file(formatter, "upper/merged/c", ""));
  BH_TRY(formatter.make_node("upper/deleted", NodeType::CharacterDevice, {}, {}));
  BH_TRY(add_file(formatter, "upper/changed", "after", origin));
  BH_TRY(formatter.make_directory("upper/opaque", {}, opaque));
  BH_TRY(add_file(formatter, "upper/opaque/new", ""));
  BH_TRY(formatter.make_directory("upper/directory-now", {}, {}));
  BH_TRY(add_file(formatter, "upper/file-now", ""));
  BH_TRY(formatter.make_hard_link("upper/file-now-too", "upper/file-now"));
  BH_TRY(formatter.make_directory("work", {}, {}));
  Overlay overlay;
  overlay.upper = BH_TRY(finish(std::move(formatter), device));
  overlay.lower = BH_TRY(make_lower());
  return overlay;
}

/// One line for each member: type, owner and mode where they are not the usual ones, path, target.
Result<std::vector<std::string>> members_of(std::string_view tar) {
  archive::BytesReader bytes(as_bytes(tar));
  const auto reader = BH_TRY(archive::TarReader::create(bytes));
  std::vector<std::string> lines;
  while (const archive::TarEntry* entry = BH_TRY(reader->next())) {
    std::string line(entry->path);
    if (entry->type == archive::EntryType::Directory) {
      line += fmt::format("/ {:o} {}:{}", entry->permissions, entry->uid, entry->gid);
    }
    if (entry->type == archive::EntryType::HardLink) {
      line += fmt::format(" is {}", entry->link);
    }
    for (const archive::EntryXattr& xattr : entry->xattrs) {
      line += fmt::format(" {}={}", xattr.name, as_text(xattr.value));
    }
    if (entry->size > 0) {
      line += fmt::format(": {} bytes", entry->size);
    }
    lines.push_back(line);
  }
  return lines;
}

Result<std::string> export_of(const Overlay& overlay) {
  MemorySource upper_source(overlay.upper);
  MemorySource lower_source(overlay.lower);
  Image upper = BH_TRY(Image::open(upper_source));
  Image lower = BH_TRY(Image::open(lower_source));
  const Inode top = BH_TRY(upper.resolve("upper"));
  archive::MemoryWriter to;
  std::ignore = BH_TRY(export_overlay(upper, top, lower, to));
  return to.content();
}

TEST(TarExporter, WritesAnOverlayAsOneTree) {
  const auto overlay = make_overlay();
  ASSERT_THAT(overlay, IsOk());
  const auto tar = export_of(*overlay);
  ASSERT_THAT(tar, IsOk());
  EXPECT_THAT(members_of(*tar),
              IsOkAnd(ElementsAre("/ 755 0:0", "changed user.colour=green: 5 bytes",
                                  "directory-now/ 755 0:0", "file-now", "file-now-too is file-now",
                                  "kept", "kept-too is kept", "merged/ 700 7:8", "merged/a is kept",
                                  "merged/c", "opaque/ 755 0:0", "opaque/new")));
}

TEST(TarExporter, RefusesAnOverlayWhoseContentIsInAnotherPlace) {
  for (const char* name : {"trusted.overlay.redirect", "trusted.overlay.metacopy"}) {
    const auto overlay = make_overlay({name, as_bytes("/elsewhere")});
    ASSERT_THAT(overlay, IsOk());
    EXPECT_THAT(export_of(*overlay), IsError(ErrorCode::Unsupported)) << name;
  }
}

/// An image of which the entry `name` of the root names `inode` instead.
ImageBytes redirected(std::string_view name, std::uint32_t inode) {
  MemoryDevice device;
  auto formatter = Formatter::create(device, {});
  EXPECT_THAT(formatter->make_directory("a/deep", {}), IsOk());
  EXPECT_THAT(formatter->make_directory("b", {}), IsOk());
  auto bytes = *finish(std::move(*formatter), device);
  Superblock super;
  std::memcpy(&super, bytes.data() + kSuperblockOffset, sizeof super);
  super.feature_ro_compat = super.feature_ro_compat & ~std::uint32_t{kRoCompatMetadataCsum};
  std::memcpy(bytes.data() + kSuperblockOffset, &super, sizeof super);
  const std::string entry =
      std::string(1, static_cast<char>(name.size())) + "\x02" + std::string(name);
  const std::size_t at = as_text(bytes).find(entry);
  EXPECT_NE(at, std::string_view::npos);
  const le32 number = inode;
  std::memcpy(bytes.data() + at - 6, &number, sizeof number);
  return bytes;
}

TEST(TarExporter, RefusesADirectoryInTwoPlaces) {
  ExportResult result;
  EXPECT_THAT(export_of(redirected("b", 13), result), IsOk());  // as it was
  EXPECT_THAT(export_of(redirected("b", 11), result), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(export_of(redirected("deep", 11), result), IsError(ErrorCode::Corrupt));
  EXPECT_THAT(export_of(redirected("deep", 2), result), IsError(ErrorCode::Corrupt));
}

}  // namespace
}  // namespace bulkhead::ext4
