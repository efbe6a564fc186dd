#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "snapshot/model/snapshot.h"

namespace memsnap {

struct TypeFigure {
  std::string name;
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

// What a series of metrics shows of one process. Texts are ready to be values of labels.
struct ProcessFigures {
  std::int32_t pid = 0;
  std::uint64_t start_time = 0;
  std::string app;
  std::string container;
  MemoryTotals memory;
  std::uint64_t objects = 0;
  double pause_seconds = 0;
  double duration_seconds = 0;
  double taken_at_seconds = 0;    // since the epoch
  std::vector<TypeFigure> types;  // the largest, and "other"
  bool is_known = true;           // false: it is there, and nothing is known of it now; it keeps its rank
};
inline constexpr std::size_t kMetricTypes = 20;
// Of a snapshot with its types. `most` of them are named.
ProcessFigures process_figures(const Snapshot& snapshot, std::size_t most = kMetricTypes);

// Of a process of which there is no snapshot this time.
ProcessFigures unknown_figures(std::int32_t pid, std::uint64_t start_time, const std::string& name,
                               const std::string& container);

// How a run from cron went.
struct RunFigures {
  double ended_at_seconds = 0;
  int exit_code = 0;
  std::uint64_t targets = 0;
  std::uint64_t failed = 0;
};

enum class MetricsFormat {
  kPrometheus,   // text format 0.0.4, as node_exporter's textfile collector takes it: no time stamps
  kOpenMetrics,  // 1.0
};

// Families in a fixed order, each with its processes in the order of their start. A process is told by `worker`, its
// rank by start among those of its app, so that a series outlives a restart; `by_pid`: by its pid.
std::string metrics_text(std::vector<ProcessFigures> processes, const std::optional<RunFigures>& run,
                         MetricsFormat format, bool by_pid = false);

}  // namespace memsnap
