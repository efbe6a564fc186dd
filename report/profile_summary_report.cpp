#include "report/profile_summary_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "report/profile_facts.h"
#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

struct Words {
  const char* key;    // of the array
  const char* row;    // of one row, and of the name in it
  const char* title;  // of the column
};

Words words_of(ProfileBy by) {
  constexpr std::array<Words, 6> kWords{{{"functions", "function", "LOCATION"},
                                         {"lines", "line", "LOCATION"},
                                         {"files", "file", "FILE"},
                                         {"modules", "module", "MODULE"},
                                         {"threads", "thread", "THREAD"},
                                         {"allocators", "allocator", "ALLOCATOR"}}};
  return kWords.at(static_cast<std::size_t>(by));
}

// Columns that people see, and after them what machines get instead.
Table make_table(ProfileBy by) {
  const Words words = words_of(by);
  const bool located = by == ProfileBy::kFunction || by == ProfileBy::kLine;
  Table table;
  table.key = words.key;
  table.row_kind = words.row;
  table.columns = {{"total", "TOTAL", CellKind::kBytes},       {"total_percent", "%", CellKind::kPercent},
                   {"own", "OWN", CellKind::kBytes},           {"own_percent", "%", CellKind::kPercent},
                   {"count", "COUNT", CellKind::kCount},       {"name", words.title, CellKind::kName},
                   {"location", "", CellKind::kName, !located}};
  if (located) {
    table.columns.push_back({"function", "", CellKind::kText, true});
    table.columns.push_back({"file", "", CellKind::kText, true});
    table.columns.push_back({"line", "", CellKind::kNumber, true});
    table.machine_columns = {7, 8, 9, 2, 0, 4};
  } else {
    table.columns.push_back({words.row, "", CellKind::kText, true});
    table.machine_columns = {7, 2, 0, 4};
  }
  if (by == ProfileBy::kThread) {
    table.columns.push_back({"tid", "", CellKind::kNumber, true});
    table.machine_columns.insert(table.machine_columns.begin() + 1, 8);
  }
  return table;
}

void sort_entries(std::vector<ProfileEntry>& entries, ProfileSort sort) {
  const auto key = [sort](const ProfileEntry& entry) {
    if (sort == ProfileSort::kCount) return entry.total.count;
    return sort == ProfileSort::kOwn ? entry.own.bytes : entry.total.bytes;
  };
  const auto name = [](const ProfileEntry& entry) {
    return std::tie(entry.file, entry.line, entry.function, entry.tid);
  };
  std::sort(entries.begin(), entries.end(), [&](const ProfileEntry& a, const ProfileEntry& b) {
    return std::make_tuple(key(b), b.own.bytes, name(a)) < std::make_tuple(key(a), a.own.bytes, name(b));
  });
}

std::vector<Cell> cells_of(const ProfileEntry& entry, ProfileBy by, std::uint64_t all) {
  std::vector<Cell> row{entry.total.bytes,
                        percent_of(entry.total.bytes, all),
                        entry.own.bytes,
                        percent_of(entry.own.bytes, all),
                        entry.total.count,
                        entry_name(entry, by),
                        location_text(entry.file, entry.line)};
  if (by == ProfileBy::kFunction || by == ProfileBy::kLine) {
    row.emplace_back(entry.function);
    row.emplace_back(entry.file);
    row.emplace_back(std::uint64_t{entry.line});
  } else {
    row.emplace_back(by == ProfileBy::kFile && entry.function.empty() ? entry.file : entry.function);
  }
  if (by == ProfileBy::kThread) row.emplace_back(std::uint64_t{entry.tid});
  return row;
}

// The rows, and what is said of those that are left out.
void add_rows(Report& report, std::vector<ProfileEntry> entries, std::uint64_t all,
              const ProfileSummaryOptions& options) {
  sort_entries(entries, options.sort);
  Table table = make_table(options.by);
  std::uint64_t hidden = 0;
  std::uint64_t hidden_bytes = 0;
  for (const ProfileEntry& entry : entries) {
    if ((options.rows != 0 && table.rows.size() >= options.rows) ||
        percent_of(entry.total.bytes, all) < options.min_percent) {
      ++hidden;
      hidden_bytes += entry.own.bytes;
      continue;
    }
    table.rows.push_back(cells_of(entry, options.by, all));
  }
  report.table = std::move(table);
  report.facts.push_back({"hidden", {FactObject{{"count", {hidden}}, {"own", {hidden_bytes}}}}});
  if (hidden == 0) return;
  report.between.push_back(
      Line()
          .text(" + ")
          .count(hidden)
          .text(" more: ")
          .bytes(hidden_bytes)
          .text(" of their own")
          .text(options.min_percent > 0 ? "      -n 0 --min 0 shows all" : "      -n 0 shows all"));
}

}  // namespace

Report make_profile_summary(const Snapshot& snapshot, const ProfileSummaryOptions& options) {
  const AllocationProfile& profile = *snapshot.profile;
  const std::vector<BlockTotals> column = column_of(profile, options.measure);
  const BlockTotals all = sum_of(column);
  Report report;
  report.schema = "memsnap.summary/1";
  report.facts = {{"of", {"allocations"}},
                  {"measure", {measure_name(options.measure)}},
                  {"target", {target_facts(snapshot.header.target)}},
                  {"capture", {profile_facts(profile)}},
                  {"totals", {FactObject{{"count", {all.count}}, {"bytes", {all.bytes}}}}}};
  report.headline = profile_headline(snapshot.header, profile);
  Line what;
  what.text("shown: ").bytes(all.bytes).text(" in ").count(all.count).text(" blocks: ");
  report.headline.push_back(std::move(what.text(measure_sentence(options.measure))));
  add_rows(report, profile_totals(profile, column, options.by, options.hide_imports), all.bytes, options);
  return report;
}

Report make_site_summary(const Snapshot& snapshot, const ProfileSummaryOptions& options) {
  const AllocationProfile& profile = *snapshot.profile;
  const HeapGraph& graph = snapshot.graph;
  std::vector<BlockTotals> column(profile.row_count());
  BlockTotals known;
  BlockTotals unknown;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (!graph.is_object(node)) continue;
    const std::uint32_t site = node < graph.site.size() ? graph.site[node] : 0;
    const bool has_row = site != 0 && site <= column.size();
    for (BlockTotals* sum : {has_row ? &known : &unknown, has_row ? &column[site - 1] : nullptr}) {
      if (sum == nullptr) continue;
      ++sum->count;
      sum->bytes += graph.size[node];
    }
  }
  Report report;
  report.schema = "memsnap.summary/1";
  report.facts = {{"of", {"objects"}},
                  {"target", {target_facts(snapshot.header.target)}},
                  {"totals", {FactObject{{"count", {known.count}}, {"bytes", {known.bytes}}}}},
                  {"unknown", {FactObject{{"count", {unknown.count}}, {"bytes", {unknown.bytes}}}}}};
  report.headline = headline(snapshot.header);
  Line what;
  what.text("shown: ").count(known.count).text(" objects (").bytes(known.bytes);
  what.text(") by where their memory was allocated; ").count(unknown.count).text(" (").bytes(unknown.bytes);
  report.headline.push_back(std::move(what.text(") are older than the tracking, or were not recorded")));
  add_rows(report, profile_totals(profile, column, options.by, options.hide_imports), known.bytes, options);
  return report;
}

}  // namespace memsnap
