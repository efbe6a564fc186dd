#include "snapshot/analysis/growth.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

Series series(const char* name, std::vector<Totals> steps) { return {name, "", std::move(steps)}; }

TEST(FindGrowth, StraightLineHasItsSlopeAndAPerfectFit) {
  const auto found = find_growth({series("a", {{1, 100}, {3, 160}, {5, 220}})}, {0, 10, 20}, 2);

  ASSERT_EQ(found.size(), 1u);
  EXPECT_DOUBLE_EQ(found[0].bytes_per_second, 6);
  EXPECT_DOUBLE_EQ(found[0].count_per_second, 0.2);
  EXPECT_DOUBLE_EQ(found[0].fit, 1);
  EXPECT_EQ(found[0].grown_steps, 2u);
}

TEST(FindGrowth, UnevenStepsAreFittedByLeastSquares) {
  const auto found = find_growth({series("a", {{1, 0}, {1, 10}, {1, 11}})}, {0, 1, 4}, 2);

  ASSERT_EQ(found.size(), 1u);
  EXPECT_NEAR(found[0].bytes_per_second, 57.0 / 26, 1e-9);  // Σ(dx dy) / Σ(dx dx) by hand
  EXPECT_LT(found[0].fit, 0.9);
}

TEST(FindGrowth, OneStepBackIsLeftOutUnlessFewerStepsWillDo) {
  const std::vector<Series> all{series("saw", {{1, 10}, {1, 5}, {1, 20}}), series("flat", {{1, 7}, {1, 7}, {1, 7}}),
                                series("falls", {{1, 9}, {1, 20}, {1, 8}})};

  EXPECT_TRUE(find_growth(all, {0, 1, 2}, 2).empty());
  const auto found = find_growth(all, {0, 1, 2}, 1);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].series.name, "saw");
}

TEST(FindGrowth, FastestIsFirstAndShortSeriesAreLeftOut) {
  const auto found = find_growth(
      {series("slow", {{1, 1}, {1, 2}}), series("fast", {{1, 1}, {1, 9}}), series("short", {{1, 1}})}, {0, 1}, 1);

  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].series.name, "fast");
}

TEST(FindGrowth, TimeThatStandsStillGivesNoRate) {
  const auto found = find_growth({series("a", {{1, 1}, {1, 2}})}, {5, 5}, 1);

  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].bytes_per_second, 0);
}

}  // namespace
}  // namespace memsnap
