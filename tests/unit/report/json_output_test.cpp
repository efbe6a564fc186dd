#include "report/json_output.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>
#include <string>

namespace memsnap {
namespace {

std::string as_json(std::string_view text) {
  std::ostringstream out;
  JsonOutput(out).text(text);
  return out.str();
}

TEST(JsonOutput, EscapesWhatATerminalWouldActOn) {
  EXPECT_EQ(as_json("\x1b[31m"), "\"\\u001b[31m\"");
  EXPECT_EQ(as_json("\xe2\x80\xae"), "\"\\u202e\"");
  EXPECT_EQ(as_json("\xc2\x9b"), "\"\\u009b\"");
  EXPECT_EQ(as_json("\U000E0041"), "\"\\udb40\\udc41\"");
  EXPECT_EQ(as_json("a\"b\\c\r\n\t"), "\"a\\\"b\\\\c\\r\\n\\t\"");
  EXPECT_EQ(as_json(std::string_view("\0", 1)), "\"\\u0000\"");
}

TEST(JsonOutput, KeepsOrdinaryText) { EXPECT_EQ(as_json("naïve 日本 🐍"), "\"naïve 日本 🐍\""); }

TEST(JsonOutput, InvalidUtf8BecomesReplacementCharactersAndTheBytesFollow) {
  std::ostringstream out;
  JsonOutput json(out);

  json.begin_object();
  json.member("name",
              "a\xff"
              "b");
  json.end_object();

  EXPECT_EQ(out.str(), "{\"name\":\"a\uFFFDb\",\"name_b64\":\"Yf9i\"}");
}

TEST(JsonOutput, SurrogatesAndOverlongFormsAreInvalid) {
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(is_utf8("\xc0\x80"));
  EXPECT_FALSE(is_utf8("\xf4\x90\x80\x80"));
  EXPECT_FALSE(is_utf8("\xe2\x82"));
  EXPECT_TRUE(is_utf8("\xf0\x9f\x90\x8d"));
}

TEST(JsonOutput, NumbersArePlainAndWhatIsNotFiniteIsNull) {
  std::ostringstream out;
  JsonOutput json(out);

  json.begin_array();
  json.number(std::numeric_limits<std::uint64_t>::max());
  json.number(std::int64_t{-1});
  json.number(9.8);
  json.number(std::numeric_limits<double>::infinity());
  json.end_array();

  EXPECT_EQ(out.str(), "[18446744073709551615,-1,9.8,null]");
}

TEST(JsonOutput, Base64IsThatOfRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

}  // namespace
}  // namespace memsnap
