#include "inject/agent/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace memsnap::agent {
namespace {

TEST(Sampler, LogarithmsAreRight) {
  for (const std::uint64_t value : {1ull, 2ull, 3ull, 1000ull, 1ull << 40, 0x123456789abcdefull, 1ull << 63, ~0ull}) {
    const double wanted = 64 - std::log2(static_cast<double>(value));
    EXPECT_NEAR(wanted, std::ldexp(static_cast<double>(minus_log2(value)), -32), 1e-8) << value;
  }
}

TEST(Sampler, GapsAreExponentialWithThePeriodAsTheirMean) {
  constexpr std::uint64_t kPeriod = 512 << 10;
  constexpr int kDraws = 200000;
  std::uint64_t random = 12345;
  double sum = 0;
  int beyond_two = 0;
  for (int i = 0; i < kDraws; ++i) {
    const auto gap = static_cast<double>(draw(random, kPeriod));
    ASSERT_GE(gap, 0);
    sum += gap;
    beyond_two += gap > 2 * kPeriod ? 1 : 0;
  }
  EXPECT_NEAR(1, sum / kDraws / kPeriod, 0.02);
  EXPECT_NEAR(std::exp(-2), static_cast<double>(beyond_two) / kDraws, 0.005);
}

TEST(Sampler, AHitIsAsLikelyAsTheExponentialSays) {
  for (const std::uint64_t period : {1ull, 2ull, 100ull, 4096ull, 524288ull, 1ull << 32, 1ull << 40})
    for (const std::uint64_t size :
         {1ull, 2ull, 16ull, 48ull, 100ull, 4096ull, 500000ull, 1ull << 20, 1ull << 30, 1ull << 46}) {
      const double wanted = -std::expm1(-static_cast<double>(size) / static_cast<double>(period));
      const double got = std::ldexp(static_cast<double>(hit_probability(size, period)), -62);
      EXPECT_NEAR(1, got / wanted, 1e-4) << size << " of " << period;
    }
}

TEST(Sampler, ASampledBlockStandsForAsManyAsItsChanceSays) {
  const Weight small = weight_of(64, 524288);
  EXPECT_NEAR(524288.0 / 64 + 0.5, static_cast<double>(small.count) / 256, 0.1);
  EXPECT_NEAR(524288.0 + 32, static_cast<double>(small.bytes), 2);

  const Weight large = weight_of(1ull << 30, 524288);
  EXPECT_EQ(256u, large.count);
  EXPECT_EQ(1ull << 30, large.bytes);

  EXPECT_EQ(0u, weight_of(0, 524288).bytes);
}

TEST(Sampler, EstimatesAreUnbiased) {
  constexpr std::uint64_t kPeriod = 1000;
  constexpr std::uint64_t kSizes[] = {16, 100, 700, 5000};
  for (const std::uint64_t size : kSizes) {
    std::uint64_t random = size * 77 + 1;
    std::int64_t countdown = draw(random, kPeriod);
    double count = 0;
    double bytes = 0;
    constexpr int kBlocks = 400000;
    for (int i = 0; i < kBlocks; ++i) {
      countdown -= static_cast<std::int64_t>(size);
      if (countdown >= 0) continue;
      countdown = draw(random, kPeriod);
      const Weight weight = weight_of(size, kPeriod);
      count += static_cast<double>(weight.count) / 256;
      bytes += static_cast<double>(weight.bytes);
    }
    EXPECT_NEAR(1, count / kBlocks, 0.04) << size;
    EXPECT_NEAR(1, bytes / (static_cast<double>(size) * kBlocks), 0.04) << size;
  }
}

}  // namespace
}  // namespace memsnap::agent
