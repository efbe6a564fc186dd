#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// RSS as a sum: the line above a summary. Only where the parts were measured.
Line memory_sum(const MemoryTotals& memory);

// What would return memory to the system, or why a part cannot be told apart; one sentence each.
std::vector<Line> memory_advice(const MemoryTotals& memory);

enum class MemoryMetric : std::uint8_t { kRss, kPss, kUss, kObjects, kHeap, kAll };

// memsnap.memory/1: one figure, or all the parts. `header` needs target, memory, bytes and objects only.
Report make_memory(const SnapshotHeader& header, MemoryMetric metric);

// One figure of each of several processes, as a table. `metric`: any but kAll.
struct MemoryFigure {
  std::int64_t pid = 0;
  std::string name;
  std::uint64_t bytes = 0;
};
std::uint64_t memory_figure(const SnapshotHeader& header, MemoryMetric metric);
Report make_memory_figures(const std::vector<MemoryFigure>& figures, MemoryMetric metric);

}  // namespace memsnap
