#include "report/profile_diff_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <utility>

#include "report/profile_facts.h"
#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::array<const char*, 6> kKeys{"functions", "lines", "files", "modules", "threads", "allocators"};

double percent_change(const ProfileChange& change) {
  if (change.before.bytes == 0) return change.after.bytes == 0 ? 0 : HUGE_VAL;
  return 100 * static_cast<double>(change.bytes_delta()) / static_cast<double>(change.before.bytes);
}

void sort_changes(std::vector<ProfileChange>& changes, DiffSort sort) {
  const auto key = [sort](const ProfileChange& change) {
    if (sort == DiffSort::kName) return 0.0;
    return std::abs(sort == DiffSort::kPercent ? percent_change(change) : static_cast<double>(change.bytes_delta()));
  };
  // They come in ascending order of file, line and name.
  std::stable_sort(changes.begin(), changes.end(),
                   [&](const ProfileChange& a, const ProfileChange& b) { return key(a) > key(b); });
}

Table make_table(ProfileBy by) {
  Table table;
  table.key = kKeys.at(static_cast<std::size_t>(by));
  table.row_kind = table.key.substr(0, table.key.size() - 1);
  table.columns = {{"delta.bytes", "DELTA", CellKind::kGrowth},
                   {"old.bytes", "OLD", CellKind::kBytes},
                   {"new.bytes", "NEW", CellKind::kBytes},
                   {"delta.count", "+COUNT", CellKind::kChange},
                   {"old.count", "", CellKind::kCount, true},
                   {"new.count", "", CellKind::kCount, true},
                   {"name", "LOCATION", CellKind::kName},
                   {"location", "", CellKind::kName, by != ProfileBy::kFunction && by != ProfileBy::kLine},
                   {"function", "", CellKind::kText, true},
                   {"file", "", CellKind::kText, true},
                   {"line", "", CellKind::kNumber, true}};
  if (by == ProfileBy::kModule || by == ProfileBy::kThread || by == ProfileBy::kAllocator) {
    table.columns[8].key = table.row_kind;
    table.machine_columns = {8, 4, 1, 5, 2, 3, 0};
  } else if (by == ProfileBy::kFile) {
    table.machine_columns = {9, 4, 1, 5, 2, 3, 0};
  } else {
    table.machine_columns = {8, 9, 10, 4, 1, 5, 2, 3, 0};
  }
  return table;
}

FactObject side_facts(const Snapshot& snapshot, const BlockTotals& all) {
  return {{"target", {target_facts(snapshot.header.target)}},
          {"capture", {profile_facts(*snapshot.profile)}},
          {"totals", {FactObject{{"count", {all.count}}, {"bytes", {all.bytes}}}}}};
}

Line side_line(const char* which, const Snapshot& snapshot, const BlockTotals& all) {
  Line line;
  line.text(fmt::format("{} {} ", which, snapshot.header.target.pid), Emphasis::kStrong);
  line.name(snapshot.header.target.name, Emphasis::kStrong);
  line.text(
      fmt::format("  {} until {}: ", duration_text(snapshot.profile->seconds()), utc_time(snapshot.profile->ended_ns)));
  return line.bytes(all.bytes).text(" in ").count(all.count).text(" blocks");
}

}  // namespace

Report make_profile_diff(ProfileDiffInput input, DiffSort sort, std::size_t rows, std::uint64_t min_delta) {
  const BlockTotals before = sum_of(column_of(*input.before.profile, input.measure));
  const BlockTotals after = sum_of(column_of(*input.after.profile, input.measure));
  Report report;
  report.schema = "memsnap.diff/1";
  report.facts = {{"of", {"allocations"}},
                  {"measure", {measure_name(input.measure)}},
                  {"old", {side_facts(input.before, before)}},
                  {"new", {side_facts(input.after, after)}},
                  {"delta",
                   {FactObject{{"bytes", {static_cast<std::int64_t>(after.bytes - before.bytes)}},
                               {"count", {static_cast<std::int64_t>(after.count - before.count)}}}}}};
  report.headline = {side_line("old", input.before, before), side_line("new", input.after, after),
                     Line().text("shown: " + measure_sentence(input.measure))};
  sort_changes(input.changes, sort);
  Table table = make_table(input.by);
  std::uint64_t hidden = 0;
  std::int64_t hidden_delta = 0;
  for (const ProfileChange& change : input.changes) {
    if (change.before == change.after) continue;
    const std::int64_t delta = change.bytes_delta();
    const auto amount = delta < 0 ? 0 - static_cast<std::uint64_t>(delta) : static_cast<std::uint64_t>(delta);
    if (amount < min_delta || (rows != 0 && table.rows.size() >= rows)) {
      ++hidden;
      hidden_delta += delta;
      continue;
    }
    table.rows.push_back({delta, change.before.bytes, change.after.bytes, change.count_delta(), change.before.count,
                          change.after.count, entry_name(change.entry, input.by),
                          location_text(change.entry.file, change.entry.line), change.entry.function, change.entry.file,
                          std::uint64_t{change.entry.line}});
  }
  if (table.rows.empty()) {
    report.between.push_back(Line().text(hidden == 0 ? " nothing changed" : " no change that large"));
  }
  if (hidden != 0) {
    report.between.push_back(Line().text(" + ").count(hidden).text(" more changes: ").growth(hidden_delta));
  }
  report.facts.push_back({"hidden", {hidden}});
  report.table = std::move(table);
  return report;
}

}  // namespace memsnap
