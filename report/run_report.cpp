#include "report/run_report.h"

#include <fmt/format.h>

#include <utility>

#include "report/snapshot_facts.h"

namespace memsnap {
namespace {

std::string how_it_ended(const RunFindings& findings) {
  if (findings.signal != 0) return fmt::format("ended by {}", signal_name(findings.signal));
  return fmt::format("exit status {}", findings.exit_status);
}

Line title(const RunFindings& findings, const AllocationProfile& profile) {
  const BlockTotals passed = passed_in_all(profile);
  std::uint64_t most = 0;
  for (const ProfileSlice& slice : profile.slices) most = std::max(most, slice.peak_live);
  Line line;
  line.text(fmt::format("memsnap: {}, {:.1f} s: ", how_it_ended(findings), profile.seconds()), Emphasis::kStrong);
  line.count(passed.count).text(" allocations, ").bytes(passed.bytes);
  return line.text(" in all, at most ").bytes(most).text(" at once");
}

}  // namespace

Report make_run(const RunFindings& findings) {
  const TrackingFindings& tracking = findings.tracking;
  Report report = make_tracking(tracking);
  FactArray snapshots;
  for (const std::string& file : findings.snapshots) snapshots.push_back({file});
  report.facts.push_back({"exit_status", {std::int64_t{findings.exit_status}}});
  report.facts.push_back({"signal", findings.signal == 0 ? Fact{nullptr} : Fact{signal_name(findings.signal)}});
  report.facts.push_back({"from_start", {findings.from_start}});
  report.facts.push_back({"start_ms", {findings.start_ms}});
  report.facts.push_back({"held_ms", {findings.held_ms}});
  report.facts.push_back({"snapshots", {std::move(snapshots)}});
  if (tracking.profile == nullptr) {
    report.headline = {Line().text(
        fmt::format("memsnap: {}; not tracked: {}", how_it_ended(findings), tracking.refusal), Emphasis::kWarning)};
  } else {
    report.headline = {title(findings, *tracking.profile)};
  }
  report.table.reset();
  report.footer.clear();
  Line last;
  if (tracking.file) {
    last.text("saved ").text(tracking.file->path, Emphasis::kStrong).text("  ").bytes(tracking.file->bytes);
    last.text("      next: memsnap summary --by function, memsnap tree");
    report.footer.push_back(last);
  }
  return report;
}

}  // namespace memsnap
