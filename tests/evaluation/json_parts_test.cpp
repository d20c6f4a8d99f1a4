#include "launcher/data/json_parts.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace tessera::data {
namespace {

using Parts = std::vector<std::string_view>;

TEST(JsonParts, SplitsAListAtItsOwnCommas) {
  EXPECT_EQ(split_list(R"( [1, "a,]\"\\", {"b": [2, 3]} ,null] )"),
            (Parts{"1", R"("a,]\"\\")", R"({"b": [2, 3]})", "null"}));
  EXPECT_EQ(split_list("[]"), Parts{});
  EXPECT_EQ(split_list("[[],{}]"), (Parts{"[]", "{}"}));
}

TEST(JsonParts, SplitsAnObjectIntoKeysAndValues) {
  const auto items = split_object(R"({"a" : 1, "b\"" :[{"c":"}"}]})");
  ASSERT_TRUE(items);
  ASSERT_EQ(items->size(), 2u);
  EXPECT_EQ((*items)[0].first, "a");
  EXPECT_EQ((*items)[0].second, "1");
  EXPECT_EQ((*items)[1].first, R"(b\")");
  EXPECT_EQ((*items)[1].second, R"([{"c":"}"}])");
}

TEST(JsonParts, GivesNothingForWhatIsCutOffOrNoList) {
  for (const char* text : {"", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[\"a]", "[\"a\\\"]",
                           "[{]", "{}", "1", "[1] 2", "[[1]"}) {
    EXPECT_FALSE(split_list(text)) << text;
  }
  for (const char* text :
       {"", "{", "{1:2}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[]", "{\"a\" 1}"}) {
    EXPECT_FALSE(split_object(text)) << text;
  }
}

// Cut at every length: never a crash, and never a whole list.
TEST(JsonParts, IsRightAtEveryLength) {
  const std::string text = R"([{"a":"\\","b":[1,{"c":null}]},["x"],"y\"",-1.5e3])";
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(split_list(std::string_view(text).substr(0, length))) << length;
  }
  const auto parts = split_list(text);
  ASSERT_TRUE(parts);
  const auto whole = nlohmann::json::parse(text);
  ASSERT_EQ(parts->size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(nlohmann::json::parse((*parts)[i]), whole[i]);
}

}  // namespace
}  // namespace tessera::data
