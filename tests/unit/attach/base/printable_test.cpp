#include "attach/base/printable.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

TEST(Printable, EscapesControlCharacters) {
  EXPECT_EQ(printable("a\x1b[31mb\n\t\x7f"), "a\\x1b[31mb\\x0a\\x09\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\u009b31m");
}

TEST(Printable, EscapesInvisibleAndTurningCharacters) {
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\u202e");
  EXPECT_EQ(printable("\xe2\x81\xa6"), "\\u2066");
  EXPECT_EQ(printable("\xd8\x9c"), "\\u061c");
  EXPECT_EQ(printable("\xe2\x80\xa8"), "\\u2028");
  EXPECT_EQ(printable("\xe2\x80\x8b"), "\\u200b");
  EXPECT_EQ(printable("\xef\xbb\xbf"), "\\ufeff");
}

TEST(Printable, EscapesEachByteOfInvalidUtf8) {
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc0\x9b"), "\\xc0\\x9b");           // overlong escape character
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(Printable, KeepsOtherUtf8) {
  EXPECT_EQ(printable("h\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x90\x8d"), "h\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x90\x8d");
}

}  // namespace
}  // namespace memsnap
