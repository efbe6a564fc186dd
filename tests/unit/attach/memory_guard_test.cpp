#include "attach/memory_guard.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

TEST(MemoryGuard, WhereTheWholeGroupWouldDieEveryPageMayBeCopied) {
  const FreezeCost cost{.resident = 1600 * kMiB, .page_tables = 4 * kMiB};

  EXPECT_GE(predicted_child_memory(cost, false), 100 * kMiB);
  EXPECT_LT(predicted_child_memory(cost, false), 200 * kMiB);
  EXPECT_GE(predicted_child_memory(cost, true), 1600 * kMiB);
}

TEST(MemoryGuard, WhatIsMadeUnaskedReckonsWithEveryPage) {
  MemoryLimit plain;
  MemoryLimit group;
  group.kills_group = true;

  EXPECT_TRUE(all_may_be_written(Method::kAuto, {plain}));
  EXPECT_FALSE(all_may_be_written(Method::kFreeze, {plain}));
  EXPECT_TRUE(all_may_be_written(Method::kFreeze, {plain, group}));
}

TEST(MemoryGuard, OneLimitThatKillsTheGroupIsEnough) {
  MemoryLimit plain;
  MemoryLimit group;
  group.kills_group = true;

  EXPECT_FALSE(kills_group({}));
  EXPECT_FALSE(kills_group({plain}));
  EXPECT_TRUE(kills_group({plain, group}));
  EXPECT_GT(last_headroom({group}), last_headroom({plain}));
}

}  // namespace
}  // namespace memsnap
