#pragma once

#include <chrono>
#include <cstdint>

namespace memsnap {

// The time stamp counter in relation to time, measured from the making of this object on.
class LeaseClock {
 public:
  LeaseClock();
  // What the counter will show in so long: never less, a little more while the measurement is young.
  std::uint64_t after(std::chrono::milliseconds time) const;
  static std::uint64_t now();

 private:
  std::uint64_t ticks_;
  std::chrono::steady_clock::time_point time_;
};

}  // namespace memsnap
