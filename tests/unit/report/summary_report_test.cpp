#include "report/summary_report.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/report/planted.h"

namespace memsnap {
namespace {

std::vector<std::string> types(const Report& report) {
  std::vector<std::string> names;
  for (const auto& row : report.table->rows) names.push_back(std::get<std::string>(row.back()));
  return names;
}

TEST(Summary, SortsLargestFirst) {
  SummaryOptions options;
  options.sort = SummarySort::kCount;

  const Report report = make_summary(shop_snapshot(), options);

  EXPECT_EQ(types(report),
            (std::vector<std::string>{"builtins.str", "builtins.dict", "shop.cart.Session", "builtins.NoneType"}));
}

TEST(Summary, WhatIsLeftOutIsCountedAndSized) {
  SummaryOptions options;
  options.rows = 2;

  const Report report = make_summary(shop_snapshot(), options);

  EXPECT_EQ(types(report), (std::vector<std::string>{"builtins.dict", "builtins.str"}));
  ASSERT_EQ(report.between.size(), 1u);
  EXPECT_EQ(std::get<std::uint64_t>(report.between[0].spans()[1].cell), 2u);
  EXPECT_EQ(std::get<std::uint64_t>(report.between[0].spans()[3].cell), 19301664u + 16u);
}

TEST(Summary, NoRowsMeansAllRows) {
  SummaryOptions options;
  options.rows = 0;

  EXPECT_EQ(make_summary(shop_snapshot(), options).table->rows.size(), 4u);
}

TEST(Summary, ATypeThatRetainsMuchStaysAboveTheLimit) {
  SummaryOptions options;
  options.min_percent = 30;  // Session: 7 % of its own, 82 % retained

  const Report report = make_summary(shop_snapshot(), options);

  EXPECT_EQ(types(report), (std::vector<std::string>{"builtins.dict", "builtins.str", "shop.cart.Session"}));
}

TEST(Summary, EqualRowsAreInOrderOfName) {
  Snapshot snapshot;
  for (const char* name : {"b", "a", "c"}) {
    TypeEntry type;
    type.name = snapshot.graph.strings.add(name);
    type.count = 1;
    type.size = 10;
    snapshot.graph.types.push_back(type);
  }

  EXPECT_EQ(types(make_summary(snapshot, {})), (std::vector<std::string>{"a", "b", "c"}));
}

}  // namespace
}  // namespace memsnap
