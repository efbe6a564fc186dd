#include "report/live_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "report/profile_facts.h"
#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

// The last slice, as rates.
struct Lately {
  double seconds = 0;
  std::uint64_t rss = 0;
  BlockTotals live;
  BlockTotals allocated;
  std::int64_t growth = 0;
  std::vector<BlockTotals> change;  // of live blocks, by row; negative numbers as unsigned ones that wrap
  std::vector<BlockTotals> made;    // allocated, by row
};

Lately lately(const AllocationProfile& profile) {
  Lately found;
  found.change.resize(profile.row_count());
  found.made.resize(profile.row_count());
  if (profile.slices.empty()) return found;
  const std::size_t last = profile.slices.size() - 1;
  const ProfileSlice& slice = profile.slices[last];
  const std::int64_t begin = last == 0 ? profile.began_ns : profile.slices[last - 1].end_ns;
  const std::uint64_t before = last == 0 ? 0 : profile.slices[last - 1].live.bytes;
  found.seconds = static_cast<double>(slice.end_ns - begin) * 1e-9;
  found.rss = slice.rss;
  found.live = slice.live;
  found.allocated = slice.allocated;
  found.growth = static_cast<std::int64_t>(slice.live.bytes - before);
  for (const SliceChange& change : profile.changes_of(slice)) {
    found.change[change.row] = {static_cast<std::uint64_t>(change.live_count),
                                static_cast<std::uint64_t>(change.live_bytes)};
    found.made[change.row] = {change.count, change.bytes};
  }
  return found;
}

struct LiveRow {
  ProfileEntry entry;
  std::uint64_t allocations = 0;  // in the last slice
  std::int64_t delta = 0;
};

std::vector<LiveRow> rows_of(const AllocationProfile& profile, const Lately& recent) {
  using Key = std::tuple<std::string, std::string, std::uint32_t>;
  std::map<Key, LiveRow> rows;
  const auto row_of = [&](const ProfileEntry& entry) -> LiveRow& {
    LiveRow& row = rows[Key{entry.file, entry.function, entry.first_line}];
    if (row.entry.function.empty()) {
      row.entry = entry;
      row.entry.own = row.entry.total = {};
    }
    return row;
  };
  for (const ProfileEntry& entry : profile_totals(profile, profile.live, ProfileBy::kFunction, false)) {
    row_of(entry).entry = entry;
  }
  for (const ProfileEntry& entry : profile_totals(profile, recent.change, ProfileBy::kFunction, false)) {
    row_of(entry).delta = static_cast<std::int64_t>(entry.total.bytes);
  }
  for (const ProfileEntry& entry : profile_totals(profile, recent.made, ProfileBy::kFunction, false)) {
    row_of(entry).allocations = entry.total.count;
  }
  std::vector<LiveRow> sorted;
  sorted.reserve(rows.size());
  for (auto& [key, row] : rows) sorted.push_back(std::move(row));
  return sorted;
}

void sort_rows(std::vector<LiveRow>& rows, ProfileSort sort) {
  const auto key = [sort](const LiveRow& row) {
    if (sort == ProfileSort::kCount) return row.allocations;
    return sort == ProfileSort::kOwn ? row.entry.own.bytes : row.entry.total.bytes;
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const LiveRow& a, const LiveRow& b) { return key(a) > key(b); });
}

Table make_table(double seconds) {
  Table table;
  table.key = "functions";
  table.row_kind = "function";
  table.columns = {{"total", "TOTAL", CellKind::kBytes},
                   {"total_percent", "%", CellKind::kPercent},
                   {"own", "OWN", CellKind::kBytes},
                   {"own_percent", "%", CellKind::kPercent},
                   {"count", "BLOCKS", CellKind::kCount},
                   {"allocations", "ALLOCS", CellKind::kCount},
                   {"delta", "IN " + duration_text(seconds), CellKind::kGrowth},
                   {"function", "LOCATION", CellKind::kName},
                   {"location", "", CellKind::kName},
                   {"file", "", CellKind::kText, true},
                   {"line", "", CellKind::kNumber, true}};
  table.machine_columns = {7, 9, 10, 2, 0, 4, 5, 6};
  return table;
}

std::uint64_t rate(std::uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<std::uint64_t>(std::min(static_cast<double>(count) / seconds, 1e18)) : 0;
}

}  // namespace

Report make_live(const Snapshot& snapshot, const LiveOptions& options) {
  const AllocationProfile& profile = *snapshot.profile;
  const TargetInfo& target = snapshot.header.target;
  const Lately recent = lately(profile);
  Report report;
  report.schema = "memsnap.live/1";
  report.facts = {{"at", {utc_time(profile.ended_ns)}},
                  {"pid", {std::int64_t{target.pid}}},
                  {"name", {target.name}},
                  {"seconds", {profile.seconds()}},
                  {"interval_seconds", {recent.seconds}},
                  {"rss", {recent.rss}},
                  {"live", {FactObject{{"count", {recent.live.count}}, {"bytes", {recent.live.bytes}}}}},
                  {"live_delta", {recent.growth}},
                  {"allocations_per_second", {rate(recent.allocated.count, recent.seconds)}},
                  {"bytes_per_second", {rate(recent.allocated.bytes, recent.seconds)}},
                  {"period", {profile.period}}};
  Line who;
  who.text(fmt::format("{} ", target.pid), Emphasis::kStrong).name(target.name, Emphasis::kStrong);
  report.headline.push_back(
      std::move(who.text(", CPython ")
                    .name(target.python)
                    .text(fmt::format("      tracked for {}", duration_text(profile.seconds())))));
  Line now;
  if (recent.rss != 0) now.text("RSS ").bytes(recent.rss).text("   ");
  now.text("live ").bytes(recent.live.bytes).text("  ").growth(recent.growth);
  now.text(fmt::format(" in {}   ", duration_text(recent.seconds)));
  report.headline.push_back(
      std::move(now.count(rate(recent.allocated.count, recent.seconds)).text(" allocations a second")));
  for (Line& line : profile_caveats(profile)) report.headline.push_back(std::move(line));

  std::vector<LiveRow> rows = rows_of(profile, recent);
  sort_rows(rows, options.sort);
  Table table = make_table(recent.seconds);
  const std::uint64_t all = sum_of(profile.live).bytes;
  for (const LiveRow& row : rows) {
    if (options.rows != 0 && table.rows.size() == options.rows) break;
    const ProfileEntry& entry = row.entry;
    table.rows.push_back({entry.total.bytes, percent_of(entry.total.bytes, all), entry.own.bytes,
                          percent_of(entry.own.bytes, all), entry.total.count, row.allocations, row.delta,
                          entry_name(entry, ProfileBy::kFunction), location_text(entry.file, entry.line), entry.file,
                          std::uint64_t{entry.line}});
  }
  report.facts.push_back({"hidden", {std::uint64_t{rows.size() - table.rows.size()}}});
  report.table = std::move(table);
  return report;
}

}  // namespace memsnap
