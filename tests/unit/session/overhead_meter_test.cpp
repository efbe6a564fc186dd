#include "snapshot/session/overhead_meter.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

namespace memsnap {
namespace {

constexpr double kTicks = 1e9;  // in a second

TEST(OverheadMeter, TimedCallsStandForAllThatRecord) {
  OverheadMeter meter;
  std::array<AgentThread, 2> threads{};
  threads[1].allocations = 1'000'000;
  threads[1].timed_calls = 1000;
  threads[1].timed_ticks = 98'000;  // 98 ns each; 2 more for passing

  const auto percent = meter.add(OverheadMeter::counters_of(threads, 1, 1.1), kTicks);

  ASSERT_TRUE(percent);
  EXPECT_NEAR(*percent, 10, 0.01);  // 0.1 s of 1.1
}

TEST(OverheadMeter, OfSamplesEveryOneIsTimed) {
  OverheadMeter meter;
  std::array<AgentThread, 1> threads{};
  threads[0].allocations = threads[0].frees = 1'000'000;
  threads[0].timed_calls = 100;
  threads[0].timed_ticks = 100 * 10'000;

  const auto percent = meter.add(OverheadMeter::counters_of(threads, 512 << 10, 1.005), kTicks);

  ASSERT_TRUE(percent);
  EXPECT_NEAR(*percent, 0.5, 0.01);  // 1 ms for samples, 4 for passing
}

TEST(OverheadMeter, OnlyWhatCameSinceTheLastTimeCounts) {
  OverheadMeter meter;
  std::array<AgentThread, 1> threads{};
  threads[0].allocations = 100'000'000;
  meter.add(OverheadMeter::counters_of(threads, 512 << 10, 1), kTicks);

  const auto percent = meter.add(OverheadMeter::counters_of(threads, 512 << 10, 2), kTicks);

  ASSERT_TRUE(percent);
  EXPECT_EQ(*percent, 0);
}

TEST(OverheadMeter, OfLittleTimeARatioSaysNothing) {
  OverheadMeter meter;
  EXPECT_FALSE(meter.add({.allocations = 1000, .cpu_seconds = 0.01}, kTicks));
}

TEST(OverheadMeter, HostileCountersGiveANumber) {
  OverheadMeter meter;
  std::array<AgentThread, 2> threads{};
  for (AgentThread& thread : threads) thread.allocations = thread.frees = thread.timed_ticks = ~0ull;
  const auto percent = meter.add(OverheadMeter::counters_of(threads, 1, 1), kTicks);
  ASSERT_TRUE(percent);
  EXPECT_LE(*percent, 1e6);
}

TEST(OverheadMeter, OwnProcessorTime) {
  const double before = cpu_seconds_of(::getpid());
  volatile std::uint64_t sum = 0;
  while (cpu_seconds_of(::getpid()) <= before) sum = sum + 1;
  EXPECT_LT(cpu_seconds_of(::getpid()), before + 10);
}

}  // namespace
}  // namespace memsnap
