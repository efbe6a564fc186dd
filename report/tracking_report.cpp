#include "report/tracking_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "report/text_layout.h"
#include "snapshot/analysis/profile_totals.h"

namespace memsnap {
namespace {

constexpr std::size_t kTypesShown = 6;
constexpr std::size_t kLinesShown = 10;

FactArray texts(const std::vector<std::string>& lines) {
  FactArray array;
  for (const std::string& line : lines) array.push_back({line});
  return array;
}

FactArray children_of(const TrackingFindings& findings) {
  FactArray array;
  for (const TrackingFindings::Child& child : findings.children) {
    array.push_back({FactObject{{"pid", {std::int64_t{child.pid}}},
                                {"status", {std::int64_t{child.status}}},
                                {"file", child.file.empty() ? Fact{nullptr} : Fact{child.file}}}});
  }
  return array;
}

FactObject facts_of(const TrackingFindings& findings) {
  const AllocationProfile* const profile = findings.profile;
  const BlockTotals passed = profile == nullptr ? BlockTotals() : passed_in_all(*profile);
  const BlockTotals live = profile == nullptr ? BlockTotals() : sum_of(profile->live);
  FactObject facts{{"file", findings.file ? Fact{findings.file->path} : Fact{nullptr}},
                   {"first_file", findings.first_file.empty() ? Fact{nullptr} : Fact{findings.first_file}},
                   {"tracked", {profile != nullptr}},
                   {"pause_ms", {findings.load_ms}},
                   {"unload_pause_ms", {findings.unload_ms}},
                   {"hooks_undone", {std::uint64_t{findings.hooks_undone}}},
                   {"seconds", {profile == nullptr ? 0.0 : profile->seconds()}},
                   {"period", {profile == nullptr ? std::uint64_t{0} : profile->period}},
                   {"allocations", {passed.count}},
                   {"bytes", {passed.bytes}},
                   {"live_bytes", {live.bytes}},
                   {"live_error", {profile == nullptr ? 0.0 : live_error(*profile)}},
                   {"target_ended", {findings.target_ended}},
                   {"end", {findings.end_reason}},
                   {"overhead", findings.overhead < 0 ? Fact{nullptr} : Fact{findings.overhead}},
                   {"snapshots", {texts(findings.snapshots)}},
                   {"group", findings.group.empty() ? Fact{nullptr} : Fact{findings.group}},
                   {"children", {children_of(findings)}},
                   {"warnings", {texts(findings.warnings)}},
                   {"left_behind", {texts(findings.left_behind)}}};
  if (profile == nullptr) facts.push_back({"refusal", {findings.refusal}});
  return facts;
}

Line title(const TrackingFindings& findings, const AllocationProfile& profile) {
  const BlockTotals passed = passed_in_all(profile);
  Line line;
  line.text(fmt::format("tracked for {:.1f} s: ", profile.seconds()), Emphasis::kStrong).count(passed.count);
  line.text(" allocations, ").bytes(passed.bytes).text("; stopped ");
  line.text(fmt::format("{:.1f} ms to load", findings.load_ms));
  if (findings.target_ended) return line.text("; the process has ended", Emphasis::kWarning);
  if (findings.overhead >= 0) line.text(fmt::format(", cost {:.1f} %", findings.overhead));
  line.text(fmt::format(", {:.1f} ms to unload, ", findings.unload_ms));
  if (findings.left_behind.empty()) return line.text("nothing left behind", Emphasis::kGood);
  return line.text(fmt::format("{} left behind", findings.left_behind.size()), Emphasis::kBad);
}

void add_growth(const TrackingFindings& findings, std::vector<Line>& lines) {
  std::vector<Change> grown = findings.types;
  std::erase_if(grown, [](const Change& change) { return change.size_delta() <= 0; });
  std::stable_sort(grown.begin(), grown.end(),
                   [](const Change& a, const Change& b) { return a.size_delta() > b.size_delta(); });
  if (grown.empty()) return;
  lines.emplace_back();
  lines.push_back(Line().text("grown since the first snapshot", Emphasis::kStrong));
  for (std::size_t i = 0; i < std::min(grown.size(), kTypesShown); ++i) {
    Line line;
    line.text("  ").growth(grown[i].size_delta()).text(fmt::format("  {:+}  ", grown[i].count_delta()));
    lines.push_back(std::move(line.type(grown[i].name)));
  }
}

// Lines of code by what they allocated and is still there.
Table live_lines(const AllocationProfile& profile) {
  Table table;
  table.key = "lines";
  table.row_kind = "line";
  table.columns = {{"own", "LIVE", CellKind::kBytes},    {"percent", "%", CellKind::kPercent},
                   {"count", "COUNT", CellKind::kCount}, {"function", "ALLOCATED BY", CellKind::kName},
                   {"place", "", CellKind::kName},       {"file", "", CellKind::kName, true},
                   {"line", "", CellKind::kNumber, true}};
  table.machine_columns = {3, 5, 6, 0, 2};
  std::vector<ProfileEntry> entries = profile_totals(profile, profile.live, ProfileBy::kLine, false);
  std::erase_if(entries, [](const ProfileEntry& entry) { return entry.own.bytes == 0; });
  std::stable_sort(entries.begin(), entries.end(),
                   [](const ProfileEntry& a, const ProfileEntry& b) { return a.own.bytes > b.own.bytes; });
  const std::uint64_t all = sum_of(profile.live).bytes;
  for (std::size_t i = 0; i < std::min(entries.size(), kLinesShown); ++i) {
    const ProfileEntry& entry = entries[i];
    std::string place(short_path(entry.file));
    if (entry.line != 0) place += fmt::format(":{}", entry.line);
    table.rows.push_back({entry.own.bytes, percent_of(entry.own.bytes, all), entry.own.count, entry.function,
                          std::move(place), entry.file, std::uint64_t{entry.line}});
  }
  return table;
}

}  // namespace

Report make_tracking(const TrackingFindings& findings) {
  Report report;
  report.schema = "memsnap.capture/1";
  report.facts = facts_of(findings);
  if (findings.profile == nullptr) {
    report.headline = {Line().text("not tracked: " + findings.refusal, Emphasis::kWarning)};
  } else {
    const AllocationProfile& profile = *findings.profile;
    report.headline = {Line(), title(findings, profile)};
    add_growth(findings, report.headline);
    const BlockTotals live = sum_of(profile.live);
    Line line;
    line.text("live of what was allocated: ", Emphasis::kStrong).bytes(live.bytes);
    if (profile.sampled()) line.text(" ± ").bytes(static_cast<std::uint64_t>(live_error(profile)));
    report.headline.insert(report.headline.end(), {Line(), line});
    report.table = live_lines(profile);
  }
  for (const TrackingFindings::Child& child : findings.children) {
    Line line;
    line.text(fmt::format("child {}  ", child.pid));
    if (child.file.empty()) {
      line.text(fmt::format("not saved, status {}", child.status), Emphasis::kWarning);
    } else {
      line.text(child.file, Emphasis::kStrong);
    }
    report.footer.push_back(std::move(line));
  }
  Line last;
  if (findings.file) {
    last.text("saved ").text(findings.file->path, Emphasis::kStrong).text("  ").bytes(findings.file->bytes);
    last.text(findings.profile == nullptr ? "      next: memsnap tree"
                                          : "      next: memsnap summary --by function --leaks");
  } else {
    last.text("not saved");
  }
  report.footer.insert(report.footer.begin(), Line());
  report.footer.push_back(last);
  return report;
}

}  // namespace memsnap
