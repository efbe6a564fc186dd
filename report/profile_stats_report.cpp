#include "report/profile_stats_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "report/profile_facts.h"
#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::size_t kLabelWidth = 20;

Line row(std::string_view label) { return Line().text(" " + padded_right(label, kLabelWidth), Emphasis::kFaint); }

double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

std::int64_t rounded(double value) {
  return std::isfinite(value) ? static_cast<std::int64_t>(std::clamp(value, -9e18, 9e18)) : 0;
}

// Live bytes at the end less those when it began, which is none.
double growth_per_minute(const AllocationProfile& profile) {
  return 60 * per_second(static_cast<double>(sum_of(profile.live).bytes), profile.seconds());
}

std::uint64_t temporary_blocks(const AllocationProfile& profile) {
  std::uint64_t sum = 0;
  for (const std::uint64_t blocks : profile.temporary) sum += blocks;
  return sum;
}

std::vector<Line> total_lines(const AllocationProfile& profile) {
  const BlockTotals passed = passed_in_all(profile);
  const BlockTotals recorded = sum_of(profile.allocated);
  std::vector<Line> lines;
  lines.push_back(row("duration").text(duration_text(profile.seconds())));
  Line allocations = row("allocations");
  allocations.count(passed.count).text("  ");
  const double rate = per_second(static_cast<double>(passed.count), profile.seconds());
  lines.push_back(allocations.count(static_cast<std::uint64_t>(rounded(rate))).text(" a second"));
  lines.push_back(row("allocated in all").bytes(passed.bytes));
  lines.push_back(row("freed").count(profile.frees).text(" blocks"));
  Line peak = row("peak");
  lines.push_back(peak.bytes(sum_of(profile.peak).bytes).text(" at " + utc_time(profile.peak_ns)));
  Line live = row("live at the end");
  live.bytes(sum_of(profile.live).bytes).text("  ");
  lines.push_back(live.growth(rounded(growth_per_minute(profile))).text(" a minute"));
  const double share = percent_of(temporary_blocks(profile), recorded.count);
  lines.push_back(row("temporary").text(percent_text(share) + " % of the blocks"));
  if (!profile.slices.empty() && profile.slices.back().rss != 0) {
    lines.push_back(row("RSS at the end").bytes(profile.slices.back().rss));
  }
  return lines;
}

Table size_table(const AllocationProfile& profile) {
  Table table;
  table.key = "sizes";
  table.row_kind = "sizes";
  table.columns = {{"from", "FROM", CellKind::kBytes},
                   {"below", "BELOW", CellKind::kBytes},
                   {"count", "COUNT", CellKind::kCount},
                   {"bar", "", CellKind::kBar}};
  table.machine_columns = {0, 1, 2};
  const std::uint64_t most = *std::max_element(profile.sizes.begin(), profile.sizes.end());
  for (std::size_t i = 0; i < kProfileSizeClasses; ++i) {
    const std::uint64_t count = profile.sizes.at(i);
    if (count == 0) continue;
    const std::uint64_t from = i == 0 ? 0 : std::uint64_t{1} << (i - 1);
    table.rows.push_back({from, std::uint64_t{1} << i, count, static_cast<double>(count) / static_cast<double>(most)});
  }
  return table;
}

FactArray allocators(const AllocationProfile& profile, std::vector<Line>& lines) {
  std::vector<const ProfileAllocator*> sorted;
  for (const ProfileAllocator& one : profile.allocators) {
    if (one.allocations != 0) sorted.push_back(&one);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::make_tuple(b->bytes, b->allocations, a->name) < std::make_tuple(a->bytes, a->allocations, b->name);
  });
  FactArray facts;
  for (const ProfileAllocator* one : sorted) {
    const std::string name(profile.strings.text(one->name));
    facts.push_back({FactObject{{"allocator", {name}}, {"count", {one->allocations}}, {"bytes", {one->bytes}}}});
    Line line = row(facts.size() == 1 ? "allocators" : "");
    lines.push_back(line.name(name).text("  ").count(one->allocations).text(" blocks, ").bytes(one->bytes));
  }
  return facts;
}

// Lines of code by what they allocated themselves.
FactArray top(std::vector<ProfileEntry> entries, bool by_count, std::size_t largest, std::vector<Line>& lines) {
  const auto key = [by_count](const ProfileEntry& entry) { return by_count ? entry.own.count : entry.own.bytes; };
  std::sort(entries.begin(), entries.end(), [&](const ProfileEntry& a, const ProfileEntry& b) {
    return std::make_tuple(key(b), std::tie(a.file, a.line, a.function)) <
           std::make_tuple(key(a), std::tie(b.file, b.line, b.function));
  });
  FactArray facts;
  for (const ProfileEntry& entry : entries) {
    if (facts.size() == largest || key(entry) == 0) break;
    facts.push_back({FactObject{{"function", {entry.function}},
                                {"file", {entry.file}},
                                {"line", {std::uint64_t{entry.line}}},
                                {"own", {entry.own.bytes}},
                                {"count", {entry.own.count}}}});
    Line line = row(facts.size() == 1 ? (by_count ? "most blocks" : "most bytes") : "");
    if (by_count) {
      line.count(entry.own.count).text(" blocks  ");
    } else {
      line.bytes(entry.own.bytes).text("  ");
    }
    line.name(entry_name(entry, ProfileBy::kLine), Emphasis::kStrong).text("  ");
    lines.push_back(line.name(location_text(entry.file, entry.line)));
  }
  return facts;
}

}  // namespace

Report make_profile_stats(const Snapshot& snapshot, std::size_t largest) {
  const AllocationProfile& profile = *snapshot.profile;
  Report report;
  report.schema = "memsnap.stats/1";
  report.headline = profile_headline(snapshot.header, profile);
  for (Line& line : total_lines(profile)) report.headline.push_back(std::move(line));
  report.table = size_table(profile);
  const auto lines = profile_totals(profile, profile.allocated, ProfileBy::kLine, false);
  FactArray of_allocators = allocators(profile, report.between);
  FactArray by_size = top(lines, false, largest, report.between);
  FactArray by_count = top(lines, true, largest, report.between);
  report.facts = {
      {"of", {"allocations"}},
      {"target", {target_facts(snapshot.header.target)}},
      {"capture", {profile_facts(profile)}},
      {"allocations_per_second", {per_second(static_cast<double>(passed_in_all(profile).count), profile.seconds())}},
      {"live_bytes_per_minute", {growth_per_minute(profile)}},
      {"temporary", {temporary_blocks(profile)}},
      {"rss", {profile.slices.empty() ? std::uint64_t{0} : profile.slices.back().rss}},
      {"allocators", {std::move(of_allocators)}},
      {"top_by_size", {std::move(by_size)}},
      {"top_by_count", {std::move(by_count)}}};
  return report;
}

}  // namespace memsnap
