#include "report/diff_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr double kNanosecond = 1e-9;

struct Names {
  const char* key;    // of the array
  const char* row;    // of one row, and of its name
  const char* title;  // of the column
};

Names names_of(DiffBy by) {
  switch (by) {
    case DiffBy::kType:
      return {"types", "type", "TYPE"};
    case DiffBy::kModule:
      return {"modules", "module", "HELD BY"};
    case DiffBy::kPath:
      return {"paths", "path", "HELD BY"};
    case DiffBy::kMemory:
      break;
  }
  return {"parts", "part", "MEMORY"};
}

// Of what it was; from nothing to something is more than any percentage.
double percent_change(const Change& change) {
  if (change.old_totals.size == 0) return change.new_totals.size == 0 ? 0 : HUGE_VAL;
  return 100 * static_cast<double>(change.size_delta()) / static_cast<double>(change.old_totals.size);
}

void sort_changes(std::vector<Change>& changes, DiffSort sort) {
  const auto key = [sort](const Change& change) {
    if (sort == DiffSort::kName) return 0.0;
    return std::abs(sort == DiffSort::kPercent ? percent_change(change) : static_cast<double>(change.size_delta()));
  };
  std::sort(changes.begin(), changes.end(), [&](const Change& a, const Change& b) {
    return std::make_tuple(key(b), std::tie(a.name, a.type)) < std::make_tuple(key(a), std::tie(b.name, b.type));
  });
}

Table make_table(DiffBy by) {
  const Names names = names_of(by);
  const bool counted = by != DiffBy::kMemory;
  Table table;
  table.key = names.key;
  table.row_kind = names.row;
  table.columns = {{"delta.size", "DELTA", CellKind::kGrowth},
                   {"old.size", "OLD", CellKind::kBytes},
                   {"new.size", "NEW", CellKind::kBytes},
                   {"delta.count", "+COUNT", CellKind::kChange, !counted},
                   {"old.count", "OLD COUNT", CellKind::kCount, true},
                   {"new.count", "NEW COUNT", CellKind::kCount, true},
                   {names.row, names.title, by == DiffBy::kType ? CellKind::kTypeName : CellKind::kName}};
  table.machine_columns = {6, 4, 1, 5, 2, 3, 0};
  if (by == DiffBy::kModule || by == DiffBy::kPath) {
    table.columns.push_back({"type", "TYPE", CellKind::kTypeName});
    table.machine_columns.insert(table.machine_columns.begin() + 1, 7);
  }
  return table;
}

Line headline_of(const SnapshotHeader& before, const SnapshotHeader& after) {
  const double seconds = static_cast<double>(after.taken_at_ns - before.taken_at_ns) * kNanosecond;
  Line line;
  line.text(fmt::format("{} ", after.target.pid), Emphasis::kStrong).name(after.target.name, Emphasis::kStrong);
  line.text(fmt::format("  from {} to {} ({}{})", utc_time(before.taken_at_ns), utc_time(after.taken_at_ns),
                        seconds < 0 ? "backwards, " : "", duration_text(std::abs(seconds))));
  return line;
}

Line memory_line(const SnapshotHeader& before, const SnapshotHeader& after) {
  const auto delta = [](std::uint64_t a, std::uint64_t b) { return static_cast<std::int64_t>(b - a); };
  Line line;
  line.text("RSS ").bytes(before.memory.rss).text(" to ").bytes(after.memory.rss).text("  ");
  line.growth(delta(before.memory.rss, after.memory.rss));
  line.text("   Python objects ").bytes(before.bytes).text(" to ").bytes(after.bytes).text("  ");
  return line.growth(delta(before.bytes, after.bytes));
}

FactObject side_facts(const SnapshotHeader& header) {
  return {{"target", {target_facts(header.target)}},
          {"taken_at", {utc_time(header.taken_at_ns)}},
          {"memory", {memory_facts(header.memory)}},
          {"totals", {totals_facts(header)}}};
}

FactObject totals_of(const Totals& totals) { return {{"count", {totals.count}}, {"size", {totals.size}}}; }

void add_objects(const ObjectChanges& objects, Report& report) {
  report.facts.push_back({"objects",
                          {FactObject{{"new", {totals_of(objects.added)}},
                                      {"gone", {totals_of(objects.gone)}},
                                      {"grown", {totals_of(objects.grown)}},
                                      {"survived", {totals_of(objects.surviving)}}}}});
  Line line;
  line.text("objects: ").count(objects.added.count).text(" new (").bytes(objects.added.size).text("), ");
  line.count(objects.gone.count).text(" gone (").bytes(objects.gone.size).text("), ");
  line.count(objects.grown.count).text(" grew (by ").bytes(objects.grown.size).text(")");
  report.between.push_back(std::move(line));
}

void add_holder(const NewHolder& holder, std::uint64_t added, Report& report) {
  report.facts.push_back(
      {"held_by", {FactObject{{"path", {holder.path}}, {"type", {holder.type}}, {"count", {holder.count}}}}});
  Line line;
  line.text(fmt::format("{} % of the new ones are held by ", percent_text(percent_of(holder.count, added))));
  line.name(holder.path, Emphasis::kStrong).text(" (").type(holder.type).text(")      memsnap roots --new");
  report.between.push_back(std::move(line));
}

}  // namespace

Report make_diff(DiffInput input, const DiffOptions& options) {
  const SnapshotHeader& before = input.old_header;
  const SnapshotHeader& after = input.new_header;
  Report report;
  report.schema = "memsnap.diff/1";
  report.facts = {{"old", {side_facts(before)}},
                  {"new", {side_facts(after)}},
                  {"same_process", {input.same_process}},
                  {"delta",
                   {FactObject{{"rss", {static_cast<std::int64_t>(after.memory.rss - before.memory.rss)}},
                               {"size", {static_cast<std::int64_t>(after.bytes - before.bytes)}},
                               {"count", {static_cast<std::int64_t>(after.objects - before.objects)}}}}}};
  report.headline = {headline_of(before, after), memory_line(before, after)};
  if (!input.same_process) {
    report.headline.push_back(Line()
                                  .text(fmt::format("  two processes: {} on ", before.target.pid), Emphasis::kWarning)
                                  .name(before.target.host)
                                  .text(fmt::format(" and {} on ", after.target.pid))
                                  .name(after.target.host)
                                  .text("; single objects are not matched"));
  }
  for (const SnapshotHeader* header : {&before, &after}) {
    if (!header->partial && header->consistent) continue;
    report.headline.push_back(Line().text(
        fmt::format("  the {} one is {}", header == &before ? "old" : "new",
                    header->partial ? "partial: not every object was reached" : "not of one moment: read as it ran"),
        Emphasis::kWarning));
  }

  Table table = make_table(options.by);
  sort_changes(input.changes, options.sort);
  std::uint64_t hidden = 0;
  std::int64_t hidden_delta = 0;
  for (const Change& change : input.changes) {
    if (change.old_totals == change.new_totals) continue;
    const auto size = static_cast<std::uint64_t>(std::abs(change.size_delta()));
    if (size < options.min_delta || (options.rows != 0 && table.rows.size() >= options.rows)) {
      ++hidden;
      hidden_delta += change.size_delta();
      continue;
    }
    std::vector<Cell> row{change.size_delta(),  change.old_totals.size,  change.new_totals.size,
                          change.count_delta(), change.old_totals.count, change.new_totals.count,
                          change.name};
    if (table.columns.size() > row.size()) row.emplace_back(change.type);
    table.rows.push_back(std::move(row));
  }
  const bool empty = table.rows.empty();
  report.table = std::move(table);
  if (empty) report.between.push_back(Line().text(hidden == 0 ? " nothing changed" : " no change that large"));
  if (hidden != 0) {
    report.between.push_back(Line().text(" + ").count(hidden).text(" more changes: ").growth(hidden_delta));
  }
  report.facts.push_back({"hidden", {hidden}});
  if (input.objects) add_objects(*input.objects, report);
  if (input.objects && input.holder) add_holder(*input.holder, input.objects->added.count, report);
  return report;
}

}  // namespace memsnap
