#include "report/summary_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

struct TypeRow {
  std::string_view name;
  std::uint64_t count = 0;
  std::uint64_t size = 0;
  std::uint64_t retained = 0;
  std::uint64_t native = 0;

  std::uint64_t mean() const { return count == 0 ? 0 : size / count; }
};

std::vector<TypeRow> rows_of(const HeapGraph& graph) {
  std::vector<TypeRow> rows;
  for (const TypeEntry& type : graph.types) {
    if (type.count == 0) continue;
    rows.push_back({graph.strings.text(type.name), type.count, type.size, type.retained, type.native});
  }
  return rows;
}

std::uint64_t sort_key(const TypeRow& row, SummarySort sort) {
  switch (sort) {
    case SummarySort::kSize:
      return row.size;
    case SummarySort::kCount:
      return row.count;
    case SummarySort::kRetained:
      return row.retained;
    case SummarySort::kNative:
      return row.native;
    case SummarySort::kMean:
      return row.mean();
    case SummarySort::kName:
      break;
  }
  return 0;
}

// Largest first; equal ones by name, so that the order never depends on addresses.
void sort_rows(std::vector<TypeRow>& rows, SummarySort sort) {
  std::sort(rows.begin(), rows.end(), [sort](const TypeRow& a, const TypeRow& b) {
    return std::make_tuple(sort_key(b, sort), a.name, b.size) < std::make_tuple(sort_key(a, sort), b.name, a.size);
  });
}

Table make_table(const SnapshotHeader& header, bool mean) {
  const bool heap = header.kind == SnapshotKind::kHeap;
  Table table;
  table.key = "types";
  table.row_kind = "type";
  table.columns = {{"count", "COUNT", CellKind::kCount},
                   {"size", "SIZE", CellKind::kBytes},
                   {"size_percent", "%", CellKind::kPercent},
                   {"retained", "RETAINED", CellKind::kBytes, !heap},
                   {"retained_percent", "%", CellKind::kPercent, !heap},
                   {"native", "NATIVE", CellKind::kBytes, header.native_bytes == 0},
                   {"mean", "MEAN", CellKind::kBytes, !mean},
                   {"type", "TYPE", CellKind::kTypeName}};
  table.machine_columns = {7, 0, 1, 3};
  if (header.native_bytes != 0) table.machine_columns.push_back(5);
  return table;
}

}  // namespace

Report make_summary(const Snapshot& snapshot, const SummaryOptions& options) {
  const SnapshotHeader& header = snapshot.header;
  Report report;
  report.schema = "memsnap.summary/1";
  report.facts = {{"target", {target_facts(header.target)}},
                  {"memory", {memory_facts(header.memory)}},
                  {"totals", {totals_facts(header)}},
                  {"snapshot", {capture_facts(header)}},
                  {"suspects", {suspect_facts(header)}}};
  report.headline = headline(header);

  std::vector<TypeRow> rows = rows_of(snapshot.graph);
  sort_rows(rows, options.sort);
  const bool heap = header.kind == SnapshotKind::kHeap;
  Table table = make_table(header, options.mean);
  std::size_t hidden = 0;
  std::uint64_t hidden_bytes = 0;
  for (const TypeRow& row : rows) {
    const double size_percent = percent_of(row.size, header.bytes);
    const double retained_percent = percent_of(row.retained, header.bytes + header.native_bytes);
    if ((options.rows != 0 && table.rows.size() >= options.rows) ||
        std::max(size_percent, heap ? retained_percent : 0) < options.min_percent) {
      ++hidden;
      hidden_bytes += row.size;
      continue;
    }
    table.rows.push_back({row.count, row.size, size_percent, heap ? Cell(row.retained) : Cell(),
                          heap ? Cell(retained_percent) : Cell(), heap ? Cell(row.native) : Cell(), row.mean(),
                          std::string(row.name)});
  }
  report.facts.push_back({"types_hidden", {std::uint64_t{hidden}}});
  if (header.kind != SnapshotKind::kSession) report.table = std::move(table);
  if (header.native_bytes != 0) {
    report.between.push_back(Line()
                                 .text(" native memory: ")
                                 .bytes(header.native_bytes)
                                 .text(" in ")
                                 .count(header.native_blocks)
                                 .text(" blocks that objects hold, ")
                                 .bytes(header.unowned_bytes)
                                 .text(" that none leads to"));
  }
  for (Line& line : suspect_lines(header)) report.between.push_back(std::move(line));
  if (hidden != 0) {
    Line line;
    line.text(" + ").count(hidden).text(hidden == 1 ? " more type: " : " more types: ").bytes(hidden_bytes);
    report.between.push_back(
        line.text(options.min_percent > 0 ? "      -n 0 --min 0 shows all" : "      -n 0 shows all"));
  }
  return report;
}

}  // namespace memsnap
