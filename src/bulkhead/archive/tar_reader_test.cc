#include "bulkhead/archive/tar_reader.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/archive/tar_builder.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/base/text.h"

namespace bulkhead::archive {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

/// A member as it was read, with strings of its own.
struct Seen {
  std::string path;
  TarEntry entry;
  std::string link;
  std::string content;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

Result<std::vector<Seen>> read_tar(std::string_view bytes, const TarLimits& limits = {},
                                   std::size_t piece = 4096) {
  BytesReader source(as_bytes(bytes), piece);
  auto reader = BH_TRY(TarReader::create(source, limits));
  std::vector<Seen> all;
  while (const TarEntry* entry = BH_TRY(reader->next())) {
    Seen seen{.path = std::string(entry->path), .entry = *entry, .link = std::string(entry->link)};
    for (const EntryXattr& xattr : entry->xattrs) {
      seen.xattrs.emplace_back(xattr.name, as_text(xattr.value));
    }
    while (const auto data = BH_TRY(reader->next_data())) {
      seen.content.resize(data->offset);
      seen.content += as_text(data->data);
    }
    seen.content.resize(entry->size);
    all.push_back(std::move(seen));
  }
  BH_TRY(reader->drain());
  return all;
}

Result<std::string> clean(std::string_view name) {
  std::string cleaned;
  BH_TRY(clean_entry_path(name, {}, cleaned));
  return cleaned;
}

TEST(CleanEntryPath, StaysInTheRoot) {
  EXPECT_THAT(clean("a/b"), IsOkAnd(std::string("a/b")));
  EXPECT_THAT(clean("./a//b/"), IsOkAnd(std::string("a/b")));
  EXPECT_THAT(clean("/etc/x"), IsOkAnd(std::string("etc/x")));
  EXPECT_THAT(clean("a/../b"), IsOkAnd(std::string("b")));
  EXPECT_THAT(clean("a/b/../../c"), IsOkAnd(std::string("c")));
  EXPECT_THAT(clean("/../x"), IsOkAnd(std::string("x")));
  EXPECT_THAT(clean("."), IsOkAnd(std::string()));
  EXPECT_THAT(clean("/"), IsOkAnd(std::string()));
  EXPECT_THAT(clean("..."), IsOkAnd(std::string("...")));
}

TEST(CleanEntryPath, RefusesWhatLeavesIt) {
  for (const std::string_view name : {"..", "../x", "../../etc/cron.d/x", "a/../../x", "./../x"}) {
    EXPECT_THAT(clean(name), IsError(ErrorCode::Invalid)) << name;
  }
  EXPECT_THAT(clean(""), IsError(ErrorCode::Invalid));
  EXPECT_THAT(clean(std::string_view("a\0b", 3)), IsError(ErrorCode::Invalid));
  EXPECT_THAT(clean(std::string(256, 'x')), IsError(ErrorCode::Invalid));
  EXPECT_THAT(clean(std::string(255, 'x')), IsOk());
  std::string deep;
  for (int i = 0; i < 2048; ++i) {
    deep += "a/";
  }
  EXPECT_THAT(clean(deep), IsError(ErrorCode::Invalid));
}

TEST(TarReader, ReadsEveryTypeOfEntry) {
  TarBuilder tar;
  tar.directory("./", 0711).directory("bin/", 01777).file("bin/true", "binary");
  tar.add({.name = "bin/su", .content = "x", .mode = 04755, .uid = 1000, .gid = 2000, .mtime = 5});
  tar.symlink("lib", "/usr/lib").hard_link("bin/false", "/bin/true");
  tar.add({.name = "dev/null", .type = '3', .mode = 0666, .device_major = 1, .device_minor = 3});
  tar.add({.name = "dev/vda", .type = '4', .device_major = 253, .device_minor = 70000});
  tar.add({.name = "run/fifo", .type = '6'});
  for (const std::size_t piece : {std::size_t{100}, SIZE_MAX}) {
    const auto all = read_tar(tar.finished(), {}, piece);
    ASSERT_THAT(all, IsOk());
    ASSERT_EQ(all->size(), 9U);
    const auto& seen = *all;
    EXPECT_EQ(seen[0].path, "");
    EXPECT_EQ(seen[0].entry.type, EntryType::Directory);
    EXPECT_EQ(seen[0].entry.permissions, 0711);
    EXPECT_EQ(seen[1].path, "bin");
    EXPECT_EQ(seen[1].entry.permissions, 01777);
    EXPECT_EQ(seen[2].content, "binary");
    EXPECT_EQ(seen[3].entry.permissions, 04755);
    EXPECT_EQ(seen[3].entry.uid, 1000U);
    EXPECT_EQ(seen[3].entry.gid, 2000U);
    EXPECT_EQ(seen[3].entry.modified.seconds, 5);
    EXPECT_EQ(seen[4].entry.type, EntryType::Symlink);
    EXPECT_EQ(seen[4].link, "/usr/lib");
    EXPECT_EQ(seen[5].entry.type, EntryType::HardLink);
    EXPECT_EQ(seen[5].link, "bin/true");
    EXPECT_EQ(seen[6].entry.type, EntryType::CharacterDevice);
    EXPECT_EQ(seen[6].entry.device_minor, 3U);
    EXPECT_EQ(seen[7].entry.type, EntryType::BlockDevice);
    EXPECT_EQ(seen[7].entry.device_major, 253U);
    EXPECT_EQ(seen[7].entry.device_minor, 70000U);
    EXPECT_EQ(seen[8].entry.type, EntryType::Fifo);
  }
}

TEST(TarReader, ReadsPaxTimesOwnersAndNames) {
  const std::string name = "dir/" + std::string(200, 'n') + "/caf\xc3\xa9";
  const auto all = read_tar(TarBuilder()
                                .add({.name = name,
                                      .content = "x",
                                      .uid = 0xfffffffe,
                                      .gid = 3'000'000'000,
                                      .pax = {{"mtime", "-1.25"}, {"atime", "12.000000001"}}})
                                .finished());
  ASSERT_THAT(all, IsOk());
  const Seen& seen = all->at(0);
  EXPECT_EQ(seen.path, name);
  EXPECT_EQ(seen.entry.uid, 0xfffffffeU);
  EXPECT_EQ(seen.entry.gid, 3'000'000'000U);
  ASSERT_TRUE(seen.entry.accessed);
  EXPECT_EQ(seen.entry.accessed->seconds, 12);
  EXPECT_EQ(seen.entry.accessed->nanoseconds, 1U);
}

TEST(TarReader, KeepsNamesByteForByte) {
  // Composed and decomposed e-acute, what is not UTF-8, in names and links, plain and pax.
  const std::vector<std::string> names{"caf\xc3\xa9", "cafe\xcc\x81", "bad\xff\xfe", "x\xc3"};
  TarBuilder tar;
  for (const std::string& name : names) {
    tar.file(name, "");
    tar.add({.name = "s", .type = '2', .link = "s", .pax = {{"path", name}, {"linkpath", name}}});
  }
  const auto all = read_tar(tar.finished());
  ASSERT_THAT(all, IsOk());
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(all->at(2 * i).path, names[i]);
    EXPECT_EQ(all->at(2 * i + 1).path, names[i]);
    EXPECT_EQ(all->at(2 * i + 1).link, names[i]);
  }
}

TEST(TarReader, ReadsExtendedAttributesAndTheLastOfEqualNames) {
  const auto all =
      read_tar(TarBuilder()
                   .add({.name = "f",
                         .pax = {{"SCHILY.xattr.user.b", "first"},
                                 {"SCHILY.xattr.security.capability", std::string("\1\0\0\2", 4)},
                                 {"SCHILY.xattr.user.b", "last"}}})
                   .finished());
  ASSERT_THAT(all, IsOk());
  const std::vector<std::pair<std::string, std::string>> wanted{
      {"security.capability", std::string("\1\0\0\2", 4)}, {"user.b", "last"}};
  EXPECT_EQ(all->at(0).xattrs, wanted);
}

TEST(TarReader, LimitsExtendedAttributes) {
  TarMember member{.name = "f"};
  for (int i = 0; i < 3000; ++i) {
    member.pax.emplace_back("SCHILY.xattr.user.name" + std::to_string(i), std::string(20, 'v'));
  }
  EXPECT_THAT(read_tar(TarBuilder().add(member).finished()), IsError(ErrorCode::ResourceExhausted));
}

TEST(TarReader, ReadsPaxSparseFiles) {
  // GNU.sparse 1.0: the map is the first block of the content.
  std::string map = "2\n4096\n5\n100000\n3\n";
  map.resize(512);
  const auto all = read_tar(TarBuilder()
                                .add({.name = "GNUSparseFile.0/s",
                                      .content = map + "helloend",
                                      .pax = {{"GNU.sparse.major", "1"},
                                              {"GNU.sparse.minor", "0"},
                                              {"GNU.sparse.name", "s"},
                                              {"GNU.sparse.realsize", "200000"}}})
                                .file("after", "ok")
                                .finished());
  ASSERT_THAT(all, IsOk());
  const Seen& seen = all->at(0);
  EXPECT_EQ(seen.path, "s");
  EXPECT_EQ(seen.entry.size, 200'000U);
  EXPECT_EQ(seen.content.substr(4096, 5), "hello");
  EXPECT_EQ(seen.content.substr(100'000, 3), "end");
  EXPECT_EQ(all->at(1).content, "ok");
}

TEST(TarReader, RefusesSparseMapsThatDoNotFit) {
  const auto sparse = [](std::string map, std::string_view real_size) {
    map.resize(512);
    return read_tar(TarBuilder()
                        .add({.name = "s",
                              .content = map + "helloend",
                              .pax = {{"GNU.sparse.major", "1"},
                                      {"GNU.sparse.minor", "0"},
                                      {"GNU.sparse.name", "s"},
                                      {"GNU.sparse.realsize", std::string(real_size)}}})
                        .finished());
  };
  EXPECT_THAT(sparse("1\n4096\n5\n", "100"), IsError(ErrorCode::Corrupt));        // past the end
  EXPECT_THAT(sparse("2\n100\n5\n90\n3\n", "200"), IsError(ErrorCode::Corrupt));  // going back
  EXPECT_THAT(sparse("1\n0\n5\n", "1125899906842624"),
              IsError(ErrorCode::ResourceExhausted));  // 1 PiB
  EXPECT_FALSE(sparse("1\n-5\n5\n", "100").has_value());
}

TEST(TarReader, RefusesOlderSparseMapsThatDoNotFit) {
  const auto sparse = [](std::vector<std::pair<std::string, std::string>> records) {
    return read_tar(TarBuilder()
                        .add({.name = "s", .content = "helloend", .pax = std::move(records)})
                        .finished());
  };
  const auto of_0_0 = [&](const std::string& offset, const std::string& count) {
    return sparse({{"GNU.sparse.size", "200"},
                   {"GNU.sparse.numblocks", "1"},
                   {"GNU.sparse.offset", offset},
                   {"GNU.sparse.numbytes", count}});
  };
  const auto of_0_1 = [&](const std::string& map) {
    return sparse({{"GNU.sparse.size", "200"},
                   {"GNU.sparse.numblocks", "2"},
                   {"GNU.sparse.map", map},
                   {"GNU.sparse.name", "s"}});
  };
  for (const auto& good : {of_0_0("100", "8"), of_0_1("0,5,100,3")}) {
    ASSERT_THAT(good, IsOk());
    EXPECT_EQ(good->at(0).entry.size, 200U);
    EXPECT_THAT(good->at(0).content.substr(100), HasSubstr("end"));
  }
  for (const auto& bad :
       {of_0_0("196", "8"), of_0_0("9223372036854775807", "8"), of_0_1("198,5,100,3"),
        of_0_1("100,5,90,3"), of_0_1("-5,5,100,3"), of_0_1("0,5,100,9223372036854775807")}) {
    EXPECT_FALSE(bad.has_value());
  }
}

TEST(TarReader, RefusesOwnersOutOfRange) {
  for (const std::string key : {"uid", "gid"}) {
    for (const std::string id : {"4294967295", "-1", "100000000000000000000"}) {
      EXPECT_THAT(read_tar(TarBuilder().add({.name = "f", .pax = {{key, id}}}).finished()),
                  IsError(ErrorCode::Invalid))
          << key << id;
    }
  }
}

TEST(TarReader, KnowsNoOwnerBeyondTheLargest) {
  const auto all = read_tar(
      TarBuilder().add({.name = "f", .uid = 2'147'483'647, .gid = 4'294'967'294}).finished());
  ASSERT_THAT(all, IsOk());
  EXPECT_EQ(all->at(0).entry.uid, 2'147'483'647U);
  EXPECT_EQ(all->at(0).entry.gid, 4'294'967'294U);
}

TEST(TarReader, TakesNothingFromAGlobalHeader) {
  const auto all =
      read_tar(TarBuilder()
                   .add({.name = "global", .type = 'g', .content = "19 path=../../out\n"})
                   .file("f", "x")
                   .finished());
  ASSERT_THAT(all, IsOk());
  ASSERT_THAT(*all, SizeIs(1));
  EXPECT_EQ(all->at(0).path, "f");
}

TEST(TarReader, EndsANameAtItsNul) {
  const auto all = read_tar(
      TarBuilder().add({.name = "f", .pax = {{"path", std::string("a\0/../b", 7)}}}).finished());
  ASSERT_THAT(all, IsOk());
  EXPECT_EQ(all->at(0).path, "a");
}

TEST(TarReader, TakesANameWithASlashBehindItForADirectory) {
  const auto all = read_tar(TarBuilder().file("a/", "").finished());
  ASSERT_THAT(all, IsOk());
  EXPECT_EQ(all->at(0).path, "a");
  EXPECT_EQ(all->at(0).entry.type, EntryType::Directory);
}

TEST(TarReader, RefusesSizesThatLie) {
  // What follows the size is no header.
  EXPECT_THAT(
      read_tar(TarBuilder()
                   .add({.name = "f", .content = std::string(600, 'x'), .pax = {{"size", "1"}}})
                   .finished()),
      IsError(ErrorCode::Corrupt));
  for (const std::string size : {"9223372036854775807", "100000000000000000000", "-1"}) {
    EXPECT_FALSE(
        read_tar(
            TarBuilder().add({.name = "f", .content = "x", .pax = {{"size", size}}}).finished())
            .has_value())
        << size;
  }
  for (const std::string_view field : {"777777777777", "77777777777777777777777",
                                       "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}) {
    EXPECT_FALSE(read_tar(TarBuilder()
                              .add({.name = "f", .content = "x", .size_field = std::string(field)})
                              .finished())
                     .has_value())
        << quote(field);
    for (const char type : {'L', 'K', 'x', 'g'}) {
      EXPECT_FALSE(read_tar(TarBuilder()
                                .add({.name = "long",
                                      .type = type,
                                      .content = "x",
                                      .size_field = std::string(field)})
                                .file("f", "x")
                                .finished())
                       .has_value())
          << type << quote(field);
    }
  }
}

TEST(TarReader, ATruncatedTarGivesNoEntryThatIsNotInIt) {
  const std::string bytes =
      TarBuilder()
          .directory("d")
          .file("d/" + std::string(200, 'n'), "content")
          .add({.name = "long", .type = 'L', .content = std::string(240, 'l')})
          .file("short", "content")
          .add({.name = "s",
                .content = "1\n100\n5\n" + std::string(503, '\0') + "hello",
                .pax = {{"GNU.sparse.major", "1"},
                        {"GNU.sparse.minor", "0"},
                        {"GNU.sparse.name", "sparse"},
                        {"GNU.sparse.realsize", "200"}}})
          .finished();
  const auto whole = read_tar(bytes);
  ASSERT_THAT(whole, IsOk());
  ASSERT_THAT(*whole, SizeIs(4));
  EXPECT_EQ(whole->at(2).path, std::string(240, 'l'));
  std::size_t whole_ones = 0;
  for (std::size_t size = 0; size < bytes.size(); size += 512) {
    const auto cut = read_tar(std::string_view(bytes).substr(0, size));
    if (!cut) {
      EXPECT_EQ(cut.error().code(), ErrorCode::Corrupt);
      continue;
    }
    ++whole_ones;
    ASSERT_LE(cut->size(), whole->size());
    for (std::size_t i = 0; i < cut->size(); ++i) {
      EXPECT_EQ(cut->at(i).path, whole->at(i).path) << size;
      EXPECT_EQ(cut->at(i).content, whole->at(i).content) << size;
    }
  }
  // Behind each of the four, where the marks of the end are cut off, and where there is nothing.
  EXPECT_EQ(whole_ones, 6U);
}

TEST(TarReader, DropsModeBitsThatAreNotPermissions) {
  const auto all = read_tar(TarBuilder().add({.name = "f", .mode = 07777777}).finished());
  ASSERT_THAT(all, IsOk());
  EXPECT_EQ(all->at(0).entry.permissions, 07777);
  EXPECT_EQ(all->at(0).entry.type, EntryType::File);
}

TEST(TarReader, NamesTheEntryThatLeavesTheRoot) {
  const auto result =
      read_tar(TarBuilder().file("ok", "").file("../../etc/cron.d/x", "").finished());
  ASSERT_THAT(result, IsError(ErrorCode::Invalid));
  EXPECT_THAT(result.error().message(), HasSubstr("../../etc/cron.d/x"));
  EXPECT_THAT(read_tar(TarBuilder().hard_link("x", "../../y").finished()),
              IsError(ErrorCode::Invalid));
  EXPECT_THAT(read_tar(TarBuilder().add({.name = "x", .pax = {{"path", "a/../../y"}}}).finished()),
              IsError(ErrorCode::Invalid));
}

TEST(TarReader, RefusesWhatIsNotTar) {
  EXPECT_THAT(read_tar("<html><body>" + std::string(2000, 'x') + "</body></html>"),
              IsError(ErrorCode::Corrupt));
  EXPECT_THAT(read_tar(""), IsOk());
}

TEST(TarReader, RefusesABadChecksum) {
  std::string bytes = TarBuilder().file("a", "x").file("b", "y").finished();
  bytes[1024 + 148] = '7';
  EXPECT_THAT(read_tar(bytes), IsError(ErrorCode::Corrupt));
}

TEST(TarReader, RefusesTruncatedContent) {
  const std::string bytes = TarBuilder().file("a", std::string(5000, 'x')).finished();
  for (std::size_t size = 512; size < 512 + 5000; size += 512) {
    EXPECT_THAT(read_tar(std::string_view(bytes).substr(0, size)), IsError(ErrorCode::Corrupt))
        << size;
  }
}

TEST(TarReader, StopsAtTheEndOfArchiveMarkAndReadsTheRest) {
  const std::string first = TarBuilder().file("a", "x").finished();
  const std::string second = TarBuilder().file("b", "y").finished();
  const auto all = read_tar(first + second + "garbage");
  ASSERT_THAT(all, IsOk());
  EXPECT_EQ(all->size(), 1U);
}

TEST(TarReader, LimitsEntriesAndSizes) {
  const std::string two = TarBuilder().file("a", "").file("b", "").finished();
  EXPECT_THAT(read_tar(two, {.entries = 2}), IsOk());
  EXPECT_THAT(read_tar(two, {.entries = 1}), IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(read_tar(TarBuilder().file("a", "12345").finished(), {.file_bytes = 4}),
              IsError(ErrorCode::ResourceExhausted));
}

/// A source that fails, as a broken connection does.
class FailingReader final : public Reader {
 public:
  explicit FailingReader(std::string_view first) : first_(first) {}

  Result<Bytes> next() override {
    if (!first_.empty()) {
      return as_bytes(std::exchange(first_, {}));
    }
    return fail(ErrorCode::Unavailable, "connection reset");
  }

 private:
  std::string_view first_;
};

TEST(TarReader, PassesOnTheErrorOfItsSource) {
  const std::string bytes = TarBuilder().file("a", std::string(5000, 'x')).finished();
  FailingReader source(std::string_view(bytes).substr(0, 1024));
  auto reader = TarReader::create(source);
  ASSERT_THAT(reader, IsOk());
  ASSERT_THAT((*reader)->next(), IsOk());
  ASSERT_THAT((*reader)->next_data(), IsOk());
  EXPECT_THAT((*reader)->next_data(), IsError(ErrorCode::Unavailable));
}

}  // namespace
}  // namespace bulkhead::archive
