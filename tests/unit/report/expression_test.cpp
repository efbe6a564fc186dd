#include "report/cli/expression.h"

#include <gtest/gtest.h>

#include <map>

#include "attach/base/error.h"

namespace memsnap {
namespace {

double value_of(const std::string& text) {
  const std::map<std::string, double> values{{"delta", 100}, {"old", 0}, {"x", 3}};
  return Expression::parse(text, {"delta", "old", "x"}).value([&](const std::string& name) { return values.at(name); });
}

TEST(Expression, ArithmeticHasItsUsualOrder) {
  EXPECT_EQ(value_of("1 + 2 * x - 4 / 2"), 5);
  EXPECT_EQ(value_of("(1 + 2) * x"), 9);
  EXPECT_EQ(value_of("10 - 3 - 2"), 5);
  EXPECT_EQ(value_of("-x + 5"), 2);
}

TEST(Expression, SizesHaveUnits) {
  EXPECT_EQ(value_of("64KiB"), 65536);
  EXPECT_EQ(value_of("1.5MB"), 1500000);
  EXPECT_EQ(value_of("1.5"), 1.5);
}

TEST(Expression, ComparisonsAndWords) {
  EXPECT_EQ(value_of("delta > 99 and not delta > 100"), 1);
  EXPECT_EQ(value_of("delta >= 100 or x == 4"), 1);
  EXPECT_EQ(value_of("delta < 100 or x != 3"), 0);
  EXPECT_EQ(value_of("not (x <= 3)"), 0);
  EXPECT_EQ(value_of("x==3"), 1);
}

TEST(Expression, DivisionByZeroIsNeitherAboveNorBelow) {
  EXPECT_EQ(value_of("old / old > 1"), 0);
  EXPECT_EQ(value_of("old / old <= 1"), 0);
  EXPECT_EQ(value_of("delta / old > 1"), 1);
}

TEST(Expression, WhatIsNoneIsRefused) {
  for (const char* text : {"", "delta >", "delta > 5 6", "nonsense > 1", "(1", "1)", "5Foo", "1 = 2", "or", "andy",
                           "deltas", "$", "1..2"}) {
    EXPECT_THROW(value_of(text), Error) << text;
  }
  EXPECT_THROW(value_of(std::string(100000, '(')), Error);
  EXPECT_THROW(value_of(std::string(100000, '-')), Error);
}

}  // namespace
}  // namespace memsnap
