#include "snapshot/store/json.h"

#include <gtest/gtest.h>

#include <string>

namespace memsnap {
namespace {

TEST(Json, GivesBackEveryByteOfAText) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);

  const std::string json = JsonWriter().begin_object().key("t").text(all).end_object().result();

  for (const char c : json) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  EXPECT_EQ((*JsonValue::parse(json))["t"].text(), all);
}

TEST(Json, ReadsWhatOthersWrite) {
  const auto json = JsonValue::parse(R"( { "a" : [1, -2, 2.5e3, true, null, "x\n\u00e9"], "b": {} } )");

  ASSERT_TRUE(json);
  const auto& items = (*json)["a"].items();
  ASSERT_EQ(items.size(), 6u);
  EXPECT_EQ(items[0].unsigned_number(), 1u);
  EXPECT_EQ(items[1].signed_number(), -2);
  EXPECT_EQ(items[2].real(), 2500.0);
  EXPECT_TRUE(items[3].boolean());
  EXPECT_EQ(items[5].text(), "x\n\xe9");
  EXPECT_EQ((*json)["missing"]["deeper"].unsigned_number(), 0u);
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* bad : {"", "{", "[1,]", "{\"a\"}", "\"open", "tru", "1 2", "01x", "{\"a\":1,}", "\"\\u12\"",
                          "\"\\u1234\"", "\"\\q\"", "\"\n\"", "nul", "--1", "[[[[[[[[[[[1]]]]]]]]]]]"}) {
    EXPECT_FALSE(JsonValue::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace memsnap
