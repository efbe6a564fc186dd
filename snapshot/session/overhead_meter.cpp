#include "snapshot/session/overhead_meter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "inject/control/lease_clock.h"

namespace memsnap {
namespace {

// A hook that records nothing: counting, and looking whether the block is known. Measured; docs/tracking-sessions.md.
constexpr double kPassSeconds = 2e-9;
constexpr double kLeastCpu = 0.05;  // seconds: of less a ratio says nothing

double grown(std::uint64_t now, std::uint64_t before) { return now > before ? static_cast<double>(now - before) : 0; }

}  // namespace

OverheadMeter::Counters OverheadMeter::counters_of(std::span<const AgentThread> threads, std::uint64_t period,
                                                   double cpu_seconds) {
  Counters sum;
  for (const AgentThread& thread : threads) {
    sum.allocations += thread.allocations;
    sum.frees += thread.frees;
    sum.timed_calls += thread.timed_calls;
    sum.timed_ticks += thread.timed_ticks;
  }
  sum.recorded = period <= 1 ? sum.allocations : sum.timed_calls;
  sum.cpu_seconds = cpu_seconds;
  return sum;
}

std::optional<double> OverheadMeter::add(const Counters& now, double ticks_per_second) {
  const double cpu = now.cpu_seconds - last_.cpu_seconds;
  if (cpu < kLeastCpu || ticks_per_second <= 0) return std::nullopt;
  const double calls = grown(now.timed_calls, last_.timed_calls);
  const double ticks = calls == 0 ? 0 : grown(now.timed_ticks, last_.timed_ticks) / calls;
  const double passed = grown(now.allocations, last_.allocations) + grown(now.frees, last_.frees);
  const double recording = grown(now.recorded, last_.recorded) * ticks / ticks_per_second;
  const double agent = recording + passed * kPassSeconds;
  last_ = now;
  constexpr double kMostPercent = 1e6;
  const double own = std::max(cpu - agent, cpu * 100 / kMostPercent);
  return std::min(100 * agent / own, kMostPercent);
}

double cpu_seconds_of(pid_t pid) {
  constexpr int kBefore = 11;  // fields between the name's end and utime, proc_pid_stat(5)
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return 0;
  std::size_t at = line.rfind(')');
  for (int i = 0; i <= kBefore && at != std::string::npos; ++i) at = line.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  char* rest = nullptr;
  const std::uint64_t user = std::strtoull(line.c_str() + at, &rest, 10);
  const std::uint64_t system = std::strtoull(rest, nullptr, 10);
  return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

TickRate::TickRate() : ticks_(LeaseClock::now()), time_(std::chrono::steady_clock::now()) {}

double TickRate::per_second() const {
  const std::uint64_t ticks = LeaseClock::now() - ticks_;
  const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - time_).count();
  return passed <= 0 ? 0 : static_cast<double>(ticks) / passed;
}

}  // namespace memsnap
