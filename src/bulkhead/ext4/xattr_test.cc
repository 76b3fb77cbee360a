#include "bulkhead/ext4/xattr.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/ext4/formatter.h"

namespace bulkhead::ext4 {
namespace {

TEST(XattrTable, KeepsSmallSetsInTheInode) {
  XattrTable table(4096);
  const std::vector<Xattr> xattrs{{.name = "user.a", .value = as_bytes("1")},
                                  {.name = "security.capability", .value = as_bytes("12345678")}};
  const auto id = table.add(xattrs);
  ASSERT_THAT(id, IsOk());
  EXPECT_FALSE(table.set(*id).in_inode.empty());
  EXPECT_TRUE(table.set(*id).entries.empty());
}

TEST(XattrTable, KnowsEqualSetsInAnyOrder) {
  XattrTable table(4096);
  const std::string large(200, 'v');
  const std::vector<Xattr> one{{.name = "user.a", .value = as_bytes("1")},
                               {.name = "user.b", .value = as_bytes(large)}};
  const std::vector<Xattr> two{{.name = "user.b", .value = as_bytes(large)},
                               {.name = "user.a", .value = as_bytes("0")},
                               {.name = "user.a", .value = as_bytes("1")}};
  const auto first = table.add(one);
  const auto second = table.add(two);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(table.set(*first).references, 2U);
  table.remove(*first);
  EXPECT_EQ(table.set(*first).references, 1U);
  EXPECT_THAT(table.add({}), IsOkAnd(0U));
}

TEST(XattrTable, UsesInodeAndBlockTogetherBeforeItGivesUp) {
  XattrTable table(4096);
  const std::string block(4000, 'v');
  const std::string inode(40, 'w');
  const std::vector<Xattr> fits{{.name = "user.a", .value = as_bytes(block)},
                                {.name = "user.b", .value = as_bytes(inode)}};
  const auto id = table.add(fits);
  ASSERT_THAT(id, IsOk());
  EXPECT_FALSE(table.set(*id).in_inode.empty());
  EXPECT_FALSE(table.set(*id).entries.empty());
  const std::vector<Xattr> too_much{{.name = "user.a", .value = as_bytes(block)},
                                    {.name = "user.b", .value = as_bytes(block)}};
  EXPECT_THAT(table.add(too_much), IsError(ErrorCode::ResourceExhausted));
}

TEST(XattrTable, ChecksNamesAndAcls) {
  XattrTable table(4096);
  for (const char* name : {"system.data", "bogus", "user.", "", "system.posix_acl_accessx"}) {
    EXPECT_FALSE(is_storable_xattr(name));
    EXPECT_THAT(table.add(std::vector<Xattr>{{.name = name}}), IsError(ErrorCode::Unsupported));
  }
  for (const std::string& value :
       {std::string(), std::string("\1\0\0\0", 4), std::string("\2\0\0\0xyz", 7),
        std::string("\2\0\0\0\x77\0\7\0\xff\xff\xff\xff", 12)}) {
    EXPECT_THAT(table.add(std::vector<Xattr>{
                    {.name = "system.posix_acl_access", .value = as_bytes(value)}}),
                IsError(ErrorCode::Invalid));
  }
}

}  // namespace
}  // namespace bulkhead::ext4
