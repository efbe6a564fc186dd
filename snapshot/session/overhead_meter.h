#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "inject/protocol/agent_abi.h"

namespace memsnap {

// What tracking costs a process: the agent's time as a part of the processor time that the process would have used
// without it. The agent times some of the calls in which it records; to these comes a fixed time for each call that
// only passes.
class OverheadMeter {
 public:
  // Cumulative, as they are read.
  struct Counters {
    std::uint64_t allocations = 0;
    std::uint64_t frees = 0;
    std::uint64_t recorded = 0;  // calls in which something was recorded
    std::uint64_t timed_calls = 0;
    std::uint64_t timed_ticks = 0;
    double cpu_seconds = 0;  // of the process
  };
  static Counters counters_of(std::span<const AgentThread> threads, std::uint64_t period, double cpu_seconds);

  // `ticks_per_second` of the time stamp counter. In percent, since the call before; empty: too little time passed.
  std::optional<double> add(const Counters& now, double ticks_per_second);

 private:
  Counters last_;
};

// Of all its threads, user and system. 0: it has ended.
double cpu_seconds_of(pid_t pid);

// Ticks of the time stamp counter in a second, measured since this was made.
class TickRate {
 public:
  TickRate();
  double per_second() const;

 private:
  std::uint64_t ticks_;
  std::chrono::steady_clock::time_point time_;
};

}  // namespace memsnap
