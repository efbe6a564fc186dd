#include "inject/control/lease_clock.h"

#include <x86intrin.h>

namespace memsnap {

LeaseClock::LeaseClock() : ticks_(now()), time_(std::chrono::steady_clock::now()) {}

std::uint64_t LeaseClock::now() { return __rdtsc(); }

std::uint64_t LeaseClock::after(std::chrono::milliseconds time) const {
  constexpr double kMostTicks = 6e6;  // in a millisecond
  constexpr double kLongEnough = 1;   // ms, for a rate
  const std::uint64_t ticks = now();
  const double passed = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - time_).count();
  const double rate = passed < kLongEnough ? kMostTicks : static_cast<double>(ticks - ticks_) / passed;
  return ticks + static_cast<std::uint64_t>(rate * static_cast<double>(time.count()));
}

}  // namespace memsnap
