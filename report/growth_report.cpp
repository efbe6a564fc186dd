#include "report/growth_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr double kNanosecond = 1e-9;
constexpr double kMinute = 60;

std::int64_t per_minute(double per_second) { return static_cast<std::int64_t>(std::llround(per_second * kMinute)); }

Table make_table() {
  Table table;
  table.key = "growing";
  table.row_kind = "growth";
  table.columns = {{"bytes_per_minute", "A MINUTE", CellKind::kGrowth},
                   {"count_per_minute", "+COUNT", CellKind::kChange},
                   {"steps_text", "STEPS", CellKind::kText},
                   {"grown_steps", "", CellKind::kCount, true},
                   {"steps", "", CellKind::kCount, true},
                   {"fit", "", CellKind::kNumber, true},
                   {"fit_text", "FIT", CellKind::kText},
                   {"first.size", "FROM", CellKind::kBytes},
                   {"last.size", "TO", CellKind::kBytes},
                   {"first.count", "", CellKind::kCount, true},
                   {"last.count", "", CellKind::kCount, true},
                   {"kind", "", CellKind::kText, true},
                   {"type", "TYPE", CellKind::kTypeName},
                   {"name", "HELD BY", CellKind::kName}};
  table.machine_columns = {11, 13, 12, 0, 1, 3, 4, 5, 9, 7, 10, 8};
  return table;
}

std::vector<Cell> row_of(const Growth& growth, std::size_t steps, bool holder) {
  const Series& series = growth.series;
  const Totals& first = series.steps.front();
  const Totals& last = series.steps.back();
  return {per_minute(growth.bytes_per_second),
          per_minute(growth.count_per_second),
          fmt::format("{}/{}", growth.grown_steps, steps),
          std::uint64_t{growth.grown_steps},
          std::uint64_t{steps},
          growth.fit,
          fmt::format("{:.2f}", growth.fit),
          first.size,
          last.size,
          first.count,
          last.count,
          std::string(holder ? "path" : "type"),
          holder ? series.type : series.name,
          holder ? Cell(series.name) : Cell()};
}

}  // namespace

Report make_growth(const std::vector<SnapshotHeader>& headers, const std::vector<Growth>& types,
                   const std::vector<Growth>& holders, const GrowthOptions& options) {
  const SnapshotHeader& first = headers.front();
  const SnapshotHeader& last = headers.back();
  const std::size_t steps = headers.size() - 1;
  Report report;
  report.schema = "memsnap.growth/1";
  FactArray files;
  for (const SnapshotHeader& header : headers) {
    files.push_back({FactObject{{"pid", {std::int64_t{header.target.pid}}},
                                {"taken_at", {utc_time(header.taken_at_ns)}},
                                {"rss", {header.memory.rss}},
                                {"count", {header.objects}},
                                {"size", {header.bytes}}}});
  }
  report.facts = {{"target", {target_facts(last.target)}}, {"snapshots", {std::move(files)}}};
  Line line;
  line.text(fmt::format("{} ", last.target.pid), Emphasis::kStrong).name(last.target.name, Emphasis::kStrong);
  const double seconds = static_cast<double>(last.taken_at_ns - first.taken_at_ns) * kNanosecond;
  line.text(fmt::format("  {} snapshots, from {} to {} ({})   RSS ", headers.size(), utc_time(first.taken_at_ns),
                        utc_time(last.taken_at_ns), duration_text(seconds)));
  report.headline.push_back(line.growth(static_cast<std::int64_t>(last.memory.rss - first.memory.rss)));

  Table table = make_table();
  std::size_t hidden = 0;
  for (const std::vector<Growth>* group : {&types, &holders}) {
    std::size_t shown = 0;
    for (const Growth& growth : *group) {
      if (options.rows != 0 && shown++ >= options.rows) {
        ++hidden;
      } else {
        table.rows.push_back(row_of(growth, steps, group == &holders));
      }
    }
  }
  if (table.rows.empty()) report.between.push_back(Line().text(" nothing grew in so many steps"));
  if (hidden != 0) report.between.push_back(Line().text(" + ").count(hidden).text(" more      -n 0 shows all"));
  report.facts.push_back({"hidden", {std::uint64_t{hidden}}});
  report.table = std::move(table);
  return report;
}

}  // namespace memsnap
