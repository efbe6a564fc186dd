#include "report/cli/watch_limits.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t kMiB = 1u << 20;

MemorySample at(int second, std::uint64_t mib, std::optional<double> part = std::nullopt) {
  return {std::chrono::steady_clock::time_point(seconds(1000 + second)), mib * kMiB, part};
}

TEST(GrowthLimit, IsASizeOrAPartWithinATime) {
  EXPECT_EQ(parse_growth_limit("500MiB")->by.bytes, 500 * kMiB);
  EXPECT_EQ(*parse_growth_limit("250%")->by.percent, 250);
  EXPECT_EQ(*parse_growth_limit("100MiB/10m")->within, minutes(10));
  for (const char* wrong : {"", "x", "0", "0%", "-1%", "5%/", "5%/x", "5%/0s", "/5m", "1e9%"})
    EXPECT_FALSE(parse_growth_limit(wrong)) << wrong;
}

TEST(LimitWatch, OfRss) {
  LimitWatch watch({.rss_over = 100 * kMiB});
  EXPECT_FALSE(watch.crossed(at(0, 100)));
  EXPECT_EQ(watch.crossed(at(1, 101)), "RSS 101.0 MiB is over 100.0 MiB");
}

TEST(LimitWatch, OfGrowthSinceItBegan) {
  LimitWatch watch({.grew = parse_growth_limit("50%")});
  EXPECT_FALSE(watch.crossed(at(0, 100)));
  EXPECT_FALSE(watch.crossed(at(5000, 149)));
  EXPECT_TRUE(watch.crossed(at(9000, 150)));
  watch.begin_again(at(9000, 150));
  EXPECT_FALSE(watch.crossed(at(9001, 200)));
  EXPECT_TRUE(watch.crossed(at(9002, 225)));
}

TEST(LimitWatch, OfGrowthWithinATime) {
  LimitWatch watch({.grew = parse_growth_limit("50MiB/10s")});
  for (int second = 0; second < 1000; ++second)
    EXPECT_FALSE(watch.crossed(at(second, 100 + 4 * static_cast<unsigned>(second))));
  EXPECT_TRUE(watch.crossed(at(1000, 4100 + 20)));
}

TEST(LimitWatch, OfGrowthKeepsFewSamples) {
  LimitWatch watch({.grew = parse_growth_limit("50MiB/1h")});
  for (int second = 0; second < 100000; ++second) ASSERT_FALSE(watch.crossed(at(second % 3000, 100)));
  EXPECT_TRUE(watch.crossed(at(3000, 150)));
}

TEST(LimitWatch, OfAMemoryLimit) {
  LimitWatch watch({.cgroup_over = 90});
  EXPECT_FALSE(watch.crossed(at(0, 1)));
  EXPECT_FALSE(watch.crossed(at(1, 1, 0.9)));
  EXPECT_EQ(watch.crossed(at(2, 1, 0.95)), "95.0 % of its memory limit are used");
}

TEST(LimitWatch, TellsWhenALimitWouldBeCrossed) {
  LimitWatch watch({.rss_over = 200 * kMiB, .cgroup_over = 90});
  EXPECT_FALSE(watch.time_left());
  watch.crossed(at(0, 100, 0.1));
  EXPECT_FALSE(watch.time_left());
  watch.crossed(at(1, 110, 0.1));
  EXPECT_EQ(watch.time_left(), seconds(9));
  watch.crossed(at(2, 110, 0.5));
  EXPECT_EQ(watch.time_left(), seconds(1));
  watch.crossed(at(3, 100, 0.4));
  EXPECT_FALSE(watch.time_left());
  watch.crossed(at(4, 300, 0.4));
  EXPECT_EQ(watch.time_left(), seconds(0));
}

TEST(LimitWatch, LooksOftenerNearALimitAndGoesOnToForAWhile) {
  LimitWatch watch({.rss_over = 200 * kMiB});
  watch.crossed(at(0, 100));
  EXPECT_EQ(watch.pause(seconds(1)), seconds(1));
  watch.crossed(at(1, 150));
  EXPECT_EQ(watch.pause(seconds(1)), milliseconds(250));
  watch.crossed(at(2, 192));
  EXPECT_EQ(watch.pause(seconds(1)), milliseconds(47));
  watch.crossed(at(3, 192));  // it had to wait, and will go on
  EXPECT_EQ(watch.pause(seconds(1)), milliseconds(94));
  watch.crossed(at(4, 192));
  EXPECT_EQ(watch.pause(seconds(1)), milliseconds(188));
  watch.crossed(at(5, 199));
  EXPECT_EQ(watch.pause(seconds(1)), milliseconds(35));
  watch.crossed(at(6, 300));
  EXPECT_EQ(watch.pause(seconds(1)), milliseconds(20));
  EXPECT_EQ(watch.pause(milliseconds(5)), milliseconds(5));
}

}  // namespace
}  // namespace memsnap
