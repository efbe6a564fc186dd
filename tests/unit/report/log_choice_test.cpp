#include "report/cli/log_choice.h"

#include <gtest/gtest.h>

#include "attach/base/error.h"

namespace memsnap {
namespace {

ListedPoint sample() {
  ListedPoint listed;
  listed.index = 3;
  listed.delta = -5;
  listed.point.id = "After rebuild_index()";
  listed.point.process = {"web", "boot", 42, 7};
  listed.point.memory.rss = 3u << 19;  // 1.5 MiB
  listed.point.memory.time_ns = 1795227304123456789;
  return listed;
}

std::string mapped(const std::string& text) {
  return mapped_text(Expression::parse_typed(text, point_names()), sample());
}

bool accepted(const std::string& text) {
  return Expression::parse_typed(text, point_names()).accepts(values_of(sample()));
}

std::string sliced(const std::string& text, std::size_t size) {
  const auto [begin, end] = parse_slice(text).value().of(size);
  return std::string("0123456789").substr(begin, end - begin);
}

TEST(Slice, MeansWhatPythonMeans) {
  EXPECT_EQ(sliced(":", 5), "01234");
  EXPECT_EQ(sliced("1:3", 5), "12");
  EXPECT_EQ(sliced("-2:", 5), "34");
  EXPECT_EQ(sliced(":-1", 5), "0123");
  EXPECT_EQ(sliced("-1:", 5), "4");
  EXPECT_EQ(sliced("-3:-1", 5), "23");
  EXPECT_EQ(sliced("20:25", 5), "");
  EXPECT_EQ(sliced("3:1", 5), "");
  EXPECT_EQ(sliced("-99:99", 5), "01234");
  EXPECT_EQ(sliced(":-99", 5), "");
  EXPECT_EQ(sliced("-1:", 0), "");
  EXPECT_EQ(sliced("2", 5), "2");
  EXPECT_EQ(sliced("-1", 5), "4");
  EXPECT_EQ(sliced("-9223372036854775808:9223372036854775807", 5), "01234");
}

TEST(Slice, WhatIsNoneIsRefused) {
  for (const char* text : {"", "a", "1:2:3", "1.5:", ":x", "99999999999999999999:", " 1:"}) {
    EXPECT_FALSE(parse_slice(text)) << text;
  }
}

TEST(PointExpression, NamesAndFunctions) {
  EXPECT_EQ(mapped("i"), "3");
  EXPECT_EQ(mapped("lower(id)"), "after rebuild_index()");
  EXPECT_EQ(mapped("upper('a' )"), "A");
  EXPECT_EQ(mapped("rss"), "1572864");
  EXPECT_EQ(mapped("MB(rss)"), "1.5");
  EXPECT_EQ(mapped("round(rss/1MiB, 0)"), "2");
  EXPECT_EQ(mapped("round(1318.14, 1)"), "1318.1");
  EXPECT_EQ(mapped("round(-2.5)"), "-3");
  EXPECT_EQ(mapped("delta * 2"), "-10");
  EXPECT_EQ(mapped("host"), "web");
  EXPECT_EQ(mapped("pid"), "42");
  EXPECT_EQ(mapped("time"), "2026-11-21T02:15:04.123Z");
  EXPECT_EQ(mapped("pyobj"), "-");
  EXPECT_EQ(mapped("rss / 0"), "-");
  EXPECT_EQ(mapped("'\x1b'"), "\\x1b");
}

TEST(PointExpression, TextsAreComparedAndMatched) {
  EXPECT_TRUE(accepted("id ~ 'rebuild_[a-z]+'"));
  EXPECT_FALSE(accepted("id ~ 'after'"));
  EXPECT_TRUE(accepted("id ~* \"after\" and rss > 1MiB"));
  EXPECT_TRUE(accepted("id == 'After rebuild_index()'"));
  EXPECT_TRUE(accepted("not id != \"After rebuild_index()\""));
  EXPECT_TRUE(accepted("lower(id) ~ '^after'"));
  EXPECT_TRUE(accepted("id < 'B'"));
  EXPECT_TRUE(accepted("'a\\'b' == \"a'b\""));
  EXPECT_TRUE(accepted("id ~ '\\(\\)$'"));
}

TEST(PointExpression, TimesAreComparedWithTexts) {
  EXPECT_TRUE(accepted("time > '2026-11-21T02:15:04Z'"));
  EXPECT_TRUE(accepted("time < \"2026-11-21 02:16\" and time >= '2026-11-21'"));
  EXPECT_FALSE(accepted("'2026-11-22' < time"));
  EXPECT_TRUE(accepted("time > 1795227304"));
}

TEST(PointExpression, WhatIsNotKnownIsNeitherAboveNorBelow) {
  EXPECT_FALSE(accepted("pyobj > 0"));
  EXPECT_FALSE(accepted("pyobj <= 0"));
  EXPECT_TRUE(accepted("not pyobj > 0"));
}

TEST(PointExpression, WhatIsNoneIsRefused) {
  for (const char* text :
       {"id +", "id > 5", "rss ~ 'x'", "id ~ id", "id ~ '['", "lower(rss)", "MB(id)", "'open", "round(rss", "lower",
        "id and 1", "-id", "time > 'soon'", "id == time", "round(rss, id)", "lower(id, 1)", "nope(1)", "rss > \"x\""}) {
    EXPECT_THROW(Expression::parse_typed(text, point_names()), Error) << text;
  }
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "lower(";
  EXPECT_THROW(Expression::parse_typed(deep, point_names()), Error);
}

}  // namespace
}  // namespace memsnap
