#include "report/memory_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kWorthSaying = 16u << 20;  // bytes that somebody would want back
constexpr double kShareWorthSaying = 0.05;         // and of the RSS
constexpr double kAccountedWell = 0.97;

bool is_worth_saying(std::uint64_t bytes, const MemoryTotals& memory) {
  return bytes >= kWorthSaying && static_cast<double>(bytes) >= kShareWorthSaying * static_cast<double>(memory.rss);
}

// What keeps the bytes of a part where they are, for people.
std::string_view meaning(std::string_view part) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kMeanings{
      {{kPartObjects, "live objects and the blocks they own"},
       {kPartPymallocFree, "free blocks, empty pools and headers in Python's arenas"},
       {kPartMallocInUse, "blocks of C libraries and of the interpreter"},
       {kPartMallocFree, "kept by malloc for reuse"},
       {kPartStacks, "of all threads, and frames of running calls"},
       {kPartFiles, "programs, libraries with their data, mapped files"},
       {kPartShared, "shared memory"},
       {kPartHugePadding, "never written, resident because huge pages are"},
       {kPartOther, "memory mapped by the program itself, and the rest"}}};
  const auto* const found =
      std::find_if(kMeanings.begin(), kMeanings.end(), [part](const auto& one) { return one.first == part; });
  return found == kMeanings.end() ? "" : found->second;
}

std::uint64_t heap_bytes(const MemoryTotals& memory) {
  return memory.part(kPartObjects) + memory.part(kPartPymallocFree) + memory.part(kPartMallocInUse) +
         memory.part(kPartMallocFree);
}

struct MetricName {
  std::string_view key, title;
};

MetricName name_of(MemoryMetric metric) {
  switch (metric) {
    case MemoryMetric::kPss:
      return {"pss", "PSS"};
    case MemoryMetric::kUss:
      return {"uss", "USS"};
    case MemoryMetric::kObjects:
      return {"python_objects", "PYTHON OBJECTS"};
    case MemoryMetric::kHeap:
      return {"heap", "HEAP"};
    case MemoryMetric::kRss:
    case MemoryMetric::kAll:
      break;
  }
  return {"rss", "RSS"};
}

// One figure alone on its line, so that a script needs no parser.
Report one_figure(const SnapshotHeader& header, std::string_view key, std::uint64_t value) {
  Report report;
  report.schema = "memsnap.memory/1";
  report.facts = {{"pid", {std::int64_t{header.target.pid}}}, {std::string(key), {value}}};
  report.headline = {Line().bytes(value)};
  return report;
}

Table table_of_parts(const MemoryTotals& memory) {
  Table table;
  table.key = "parts";
  table.row_kind = "part";
  table.columns = {{"bytes", "SIZE", CellKind::kBytes},
                   {"percent", "%", CellKind::kPercent},
                   {"name", "PART", CellKind::kText},
                   {"meaning", "WHAT IT IS", CellKind::kName}};
  table.machine_columns = {2, 0};
  for (const MemoryPart& part : memory.parts) {
    table.rows.push_back({part.bytes, percent_of(part.bytes, memory.rss), part.name, std::string(meaning(part.name))});
  }
  return table;
}

FactArray plain_texts(const std::vector<Line>& lines) {
  FactArray array;
  for (const Line& line : lines) {
    std::string text;
    for (const Piece& piece : pieces_of(line, Units::kIec)) text += piece.text;
    text.erase(0, text.find_first_not_of(' '));
    array.push_back({text});
  }
  return array;
}

Report all_figures(const SnapshotHeader& header) {
  const MemoryTotals& memory = header.memory;
  Report report;
  report.schema = "memsnap.memory/1";
  const std::vector<Line> advice = memory_advice(memory);
  report.facts = {
      {"pid", {std::int64_t{header.target.pid}}}, {"name", {header.target.name}}, {"python", {header.target.python}}};
  for (NamedFact& fact : memory_facts(memory, false)) report.facts.push_back(std::move(fact));
  report.facts.push_back({"objects", {header.objects}});
  report.facts.push_back({"heap", {heap_bytes(memory)}});
  report.facts.push_back({"method", {header.method}});
  report.facts.push_back({"pause_ms", {header.pause_ms}});
  report.facts.push_back({"advice", {plain_texts(advice)}});
  report.headline = headline(header);
  report.table = table_of_parts(memory);
  report.footer = advice;
  return report;
}

}  // namespace

Line memory_sum(const MemoryTotals& memory) {
  const std::uint64_t named = heap_bytes(memory);
  std::uint64_t all = 0;
  for (const MemoryPart& part : memory.parts) all += part.bytes;
  Line line;
  line.text("RSS ").bytes(memory.rss).text(" = objects ").bytes(memory.part(kPartObjects)).text(" + pymalloc free ");
  line.bytes(memory.part(kPartPymallocFree)).text(" + malloc free ").bytes(memory.part(kPartMallocFree));
  line.text(" + native ").bytes(memory.part(kPartMallocInUse)).text(" + other ");
  return line.bytes(all - std::min(all, named));
}

std::vector<Line> memory_advice(const MemoryTotals& memory) {
  std::vector<Line> lines;
  if (memory.parts.empty()) return lines;
  const std::uint64_t free = memory.part(kPartMallocFree);
  if (is_worth_saying(free, memory)) {
    Line line;
    line.text("  malloc keeps ").bytes(free).text(" free: fragmentation or a missing trim; malloc_trim would return ");
    lines.push_back(line.text("about ").bytes(memory.trimmable));
  }
  const std::uint64_t idle = memory.part(kPartPymallocFree);
  if (is_worth_saying(idle, memory)) {
    const std::string share = percent_text(percent_of(idle, memory.pymalloc_resident));
    lines.push_back(Line().text("  arenas " + share + " % empty: returned only when a whole arena empties"));
  }
  const std::uint64_t padding = memory.part(kPartHugePadding);
  if (is_worth_saying(padding, memory)) {
    lines.push_back(Line()
                        .text("  huge pages hold ")
                        .bytes(padding)
                        .text(" that were never used: transparent_hugepage=madvise would not"));
  }
  if (!memory.allocator.empty() && memory.allocator != "glibc") {
    Line line;
    line.text("  malloc is ").name(memory.allocator);
    lines.push_back(line.text("'s, whose memory cannot be told apart: what is used and what is free is in other"));
  } else if (memory.accounted() < kAccountedWell) {
    lines.push_back(Line()
                        .text("  ")
                        .bytes(memory.part(kPartOther))
                        .text(" belong to no allocator that is known: mapped by the program or a library itself"));
  }
  if (memory.damaged != 0) {
    lines.push_back(Line().text("  ").count(memory.damaged).text(" heaps or pools could not be followed to their end"));
  }
  return lines;
}

std::uint64_t memory_figure(const SnapshotHeader& header, MemoryMetric metric) {
  const MemoryTotals& memory = header.memory;
  switch (metric) {
    case MemoryMetric::kPss:
      return memory.pss;
    case MemoryMetric::kUss:
      return memory.uss;
    case MemoryMetric::kObjects:
      return header.bytes;
    case MemoryMetric::kHeap:
      return heap_bytes(memory);
    case MemoryMetric::kRss:
    case MemoryMetric::kAll:
      break;
  }
  return memory.rss;
}

Report make_memory(const SnapshotHeader& header, MemoryMetric metric) {
  if (metric == MemoryMetric::kAll) return all_figures(header);
  return one_figure(header, name_of(metric).key, memory_figure(header, metric));
}

Report make_memory_figures(const std::vector<MemoryFigure>& figures, MemoryMetric metric) {
  const MetricName name = name_of(metric);
  Report report;
  report.schema = "memsnap.memory/1";
  Table table;
  table.key = "processes";
  table.row_kind = "process";
  table.columns = {{"pid", "PID", CellKind::kNumber},
                   {std::string(name.key), std::string(name.title), CellKind::kBytes},
                   {"name", "NAME", CellKind::kName}};
  table.machine_columns = {0, 1, 2};
  for (const MemoryFigure& figure : figures) table.rows.push_back({figure.pid, figure.bytes, figure.name});
  report.table = std::move(table);
  return report;
}

}  // namespace memsnap
