#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/testing.h"
#include "bulkhead/json/fields.h"
#include "bulkhead/json/parse.h"
#include "bulkhead/json/value.h"
#include "bulkhead/json/write.h"

namespace bulkhead::json {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<Value> parse(std::string_view text) { return json::parse(text, "test"); }

TEST(JsonParse, ReadsEveryType) {
  const auto value = parse(R"( {"a":[null,true,-1,18446744073709551615,1.5,"x\u00e4\ud83d\ude00"],
                               "b":{}} )");
  ASSERT_THAT(value, IsOk());
  const Array& array = *value->find("a")->as_array();
  EXPECT_TRUE(array[0].is_null());
  EXPECT_EQ(array[1].as_bool(), true);
  EXPECT_EQ(array[2].as_integer<int>(), -1);
  EXPECT_EQ(array[2].as_integer<unsigned>(), std::nullopt);
  EXPECT_EQ(array[3].as_integer<std::uint64_t>(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(array[3].as_integer<std::int64_t>(), std::nullopt);
  EXPECT_EQ(array[4].as_double(), 1.5);
  EXPECT_EQ(array[4].as_integer<int>(), std::nullopt);
  EXPECT_EQ(*array[5].as_string(), "x\xc3\xa4\xf0\x9f\x98\x80");
  EXPECT_TRUE(value->find("b")->is_object());
  EXPECT_EQ(value->find("c"), nullptr);
}

TEST(JsonParse, RejectsWhatIsNotJson) {
  for (const std::string_view bad : {"",
                                     " ",
                                     "{",
                                     "[1,]",
                                     "{\"a\":1,}",
                                     "nul",
                                     "NaN",
                                     "Infinity",
                                     "1e400",
                                     "-1e400",
                                     "01",
                                     "+1",
                                     "'a'",
                                     "\"\n\"",
                                     "\"\x01\"",
                                     "// c\n1",
                                     "/**/1",
                                     "\xef\xbb\xbf{}",
                                     "{} x",
                                     "{}{}",
                                     "[1] 2",
                                     R"("\ud800")",
                                     "\"\xff\"",
                                     "\"\xc0\xaf\"",
                                     "\"\xed\xa0\x80\"",
                                     "{1:2}",
                                     R"("\x41")",
                                     "{\"a\" 1}"}) {
    EXPECT_THAT(parse(bad), IsError(ErrorCode::Invalid)) << bad;
  }
  EXPECT_THAT(parse(std::string_view("{}\0", 3)), IsError(ErrorCode::Invalid));
}

TEST(JsonParse, RejectsDuplicateMembers) {
  const auto value = parse(R"({"a":{"mediaType":1,"b":2,"mediaType":3}})");
  ASSERT_THAT(value, IsError(ErrorCode::Invalid));
  EXPECT_THAT(value.error().message(), HasSubstr("\"mediaType\" stands twice"));
  // The same name spelled with an escape is the same name.
  EXPECT_THAT(parse(R"({"a":1,"\u0061":2})"), IsError(ErrorCode::Invalid));
  EXPECT_THAT(parse(R"([{"a":1},{"a":1}])"), IsOk());
}

TEST(JsonParse, LimitsSizeDepthAndCount) {
  EXPECT_THAT(json::parse("[1,2]", "x", {.bytes = 4}), IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(json::parse("[1,2]", "x", {.values = 2}), IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(json::parse("[1,2]", "x", {.values = 3}), IsOk());
  EXPECT_THAT(parse(std::string(64, '[') + std::string(64, ']')), IsOk());
  EXPECT_THAT(parse(std::string(65, '[') + std::string(65, ']')),
              IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(parse(std::string(100'000, '[')), IsError(ErrorCode::ResourceExhausted));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) {
    deep += "{\"a\":";
  }
  EXPECT_THAT(parse(deep), IsError(ErrorCode::ResourceExhausted));
  EXPECT_THAT(parse(std::string(100U << 20U, ' ')), IsError(ErrorCode::ResourceExhausted));
}

TEST(JsonParse, TakesLongKeysAndStrings) {
  const std::string key(1U << 20U, 'k');
  const auto value = parse("{\"" + key + "\":\"" + key + "\"}");
  ASSERT_THAT(value, IsOk());
  ASSERT_NE(value->find(key), nullptr);
  EXPECT_EQ(*value->find(key)->as_string(), key);
}

TEST(JsonUtf8, KnowsWellFormedSequences) {
  EXPECT_TRUE(is_utf8("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
  EXPECT_TRUE(is_utf8("\xf4\x8f\xbf\xbf"));
  for (const std::string_view bad : {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                                     "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

TEST(JsonWrite, RoundTrips) {
  const std::string text =
      R"({"b":[1,-2,18446744073709551615,1.25,true,null,"q\"\\\n\u0001ä"],"a":{},"c":[]})";
  const auto value = parse(text);
  ASSERT_THAT(value, IsOk());
  EXPECT_EQ(write(*value), text);
  EXPECT_THAT(parse(write(*value, Style::Pretty)), IsOkAnd(*value));
}

TEST(JsonWrite, IsPrettyWhenAsked) {
  Value value;
  value.set("name", "x");
  value.set("list", Array{1, Object{}});
  EXPECT_EQ(write(value, Style::Pretty),
            "{\n  \"name\": \"x\",\n  \"list\": [\n    1,\n    {}\n  ]\n}\n");
}

TEST(JsonWrite, ReplacesBytesThatAreNotUtf8) {
  EXPECT_EQ(write(Value("a\xff\xc3")), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST(JsonValue, SetReplaces) {
  Value value;
  value.set("a", 1);
  value.set("a", 2);
  EXPECT_EQ(write(value), R"({"a":2})");
}

TEST(JsonFields, ReadsTypedMembers) {
  const auto value =
      parse(R"({"s":"x","b":true,"n":7,"v":["a","b"],"m":{"k":"v"},"null":null,"i":[1,2]})");
  ASSERT_THAT(value, IsOk());
  const auto fields = Fields::create(*value, "thing");
  ASSERT_THAT(fields, IsOk());
  std::string text = "kept";
  bool truth = false;
  std::uint8_t number = 0;
  std::vector<std::string> list;
  std::map<std::string, std::string> map;
  std::optional<std::int64_t> optional;
  std::vector<std::uint32_t> integers;
  EXPECT_THAT(fields->read("absent", text), IsOk());
  EXPECT_THAT(fields->read("null", text), IsOk());
  EXPECT_EQ(text, "kept");
  EXPECT_THAT(fields->read("s", text), IsOk());
  EXPECT_EQ(text, "x");
  EXPECT_THAT(fields->read("b", truth), IsOk());
  EXPECT_TRUE(truth);
  EXPECT_THAT(fields->read("n", number), IsOk());
  EXPECT_EQ(number, 7);
  EXPECT_THAT(fields->read("v", list), IsOk());
  EXPECT_THAT(list, ElementsAre("a", "b"));
  EXPECT_THAT(fields->read("m", map), IsOk());
  EXPECT_EQ(map.at("k"), "v");
  EXPECT_THAT(fields->read("absent", optional), IsOk());
  EXPECT_EQ(optional, std::nullopt);
  EXPECT_THAT(fields->read("n", optional), IsOk());
  EXPECT_EQ(optional, 7);
  EXPECT_THAT(fields->read("i", integers), IsOk());
  EXPECT_THAT(integers, ElementsAre(1, 2));
}

TEST(JsonFields, NamesWhatIsWrong) {
  const auto value = parse(R"({"config":{"Env":["a",2],"n":300,"m":{"k":1}}})");
  ASSERT_THAT(value, IsOk());
  const auto fields = Fields::create(*value, "image config");
  ASSERT_THAT(fields, IsOk());
  const auto config = fields->object("config");
  ASSERT_THAT(config, IsOk());
  ASSERT_TRUE(config->has_value());
  std::vector<std::string> list;
  std::uint8_t small = 0;
  std::string text;
  std::map<std::string, std::string> map;
  const auto result = (*config)->read("Env", list);
  ASSERT_THAT(result, IsError(ErrorCode::Invalid));
  EXPECT_EQ(result.error().message(),
            "image config: config.Env[1]: a string is expected, it is an integer");
  EXPECT_THAT((*config)->read("n", small), IsError(ErrorCode::Invalid));
  EXPECT_THAT((*config)->read("m", map), IsError(ErrorCode::Invalid));
  EXPECT_THAT((*config)->read("Env", text), IsError(ErrorCode::Invalid));
  EXPECT_THAT((*config)->require("absent", text), IsError(ErrorCode::Invalid));
  EXPECT_THAT((*config)->object("n"), IsError(ErrorCode::Invalid));
}

}  // namespace
}  // namespace bulkhead::json
