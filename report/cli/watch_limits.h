#pragma once

#include <boost/program_options.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "report/cli/value_types.h"

namespace memsnap {

struct GrowthLimit {
  SizeOrPercent by;                                   // parts above 100 % make sense here
  std::optional<std::chrono::milliseconds> within{};  // empty: since the watch began
};
// "500MiB", "20%", "100MiB/10m". Empty: none of these.
std::optional<GrowthLimit> parse_growth_limit(std::string_view text);

struct WatchLimits {
  std::optional<std::uint64_t> rss_over{};
  std::optional<GrowthLimit> grew{};
  std::optional<double> cgroup_over{};  // percent of the nearest memory limit

  bool is_empty() const { return !rss_over && !grew && !cgroup_over; }
};

struct MemorySample {
  std::chrono::steady_clock::time_point at{};
  std::uint64_t rss = 0;
  std::optional<double> cgroup_part{};  // 0 to 1; empty: no limit
};

// Looks at one sample after the other.
class LimitWatch {
 public:
  explicit LimitWatch(const WatchLimits& limits) : limits_(limits) {}

  // Which limit the sample is over: "RSS 1.2 GiB is over 1 GiB". Empty: none.
  std::optional<std::string> crossed(const MemorySample& sample);
  // After a snapshot growth counts from here.
  void begin_again(const MemorySample& sample);
  // When it would be over a limit if it went on as between the last two samples; empty: not as it goes now.
  std::optional<std::chrono::milliseconds> time_left() const;
  // Until the next look: the faster it nears a limit, the less. It grows slowly again, since what leaks may just have
  // had to wait for the processor.
  std::chrono::milliseconds pause(std::chrono::milliseconds longest);

 private:
  bool grew_over(const MemorySample& sample) const;

  WatchLimits limits_;
  std::deque<MemorySample> samples_;  // those growth is counted from, oldest first
  std::optional<MemorySample> before_last_;
  std::optional<MemorySample> last_;
  std::optional<std::chrono::milliseconds> last_pause_;
};

}  // namespace memsnap
