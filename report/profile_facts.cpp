#include "report/profile_facts.h"

#include <fmt/format.h>

#include <cmath>

#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

std::uint64_t rounded(double value) {
  return std::isfinite(value) && value > 0 ? static_cast<std::uint64_t>(std::min(value, 1e18)) : 0;
}

Line warning() { return Line().text("  ", Emphasis::kWarning); }

void add_loss(std::vector<Line>& lines, std::uint64_t count, const char* what) {
  if (count != 0) lines.push_back(warning().count(count).text(what, Emphasis::kWarning));
}

std::string rate_text(std::uint64_t count, double seconds) {
  if (!(seconds > 0)) return "";
  return fmt::format(", {}/s", count_text(rounded(static_cast<double>(count) / seconds)));
}

}  // namespace

std::vector<Line> profile_headline(const SnapshotHeader& header, const AllocationProfile& profile) {
  const TargetInfo& target = header.target;
  Line who;
  who.text(fmt::format("{} ", target.pid), Emphasis::kStrong);
  who.name(target.name.empty() ? target.command_line : target.name, Emphasis::kStrong);
  if (!target.host.empty()) who.text(" @ ").name(target.host);
  who.text(", CPython ").name(target.python);
  who.text(
      fmt::format("      allocations of {}, until {}", duration_text(profile.seconds()), utc_time(profile.ended_ns)));
  const BlockTotals passed = passed_in_all(profile);
  Line what;
  what.text("allocated ").bytes(passed.bytes).text(" in ").count(passed.count).text(" blocks");
  what.text(rate_text(passed.count, profile.seconds()));
  what.text("   live at the end ").bytes(sum_of(profile.live).bytes);
  what.text("   peak ").bytes(sum_of(profile.peak).bytes).text(" at " + utc_time(profile.peak_ns));
  std::vector<Line> lines{std::move(who), std::move(what)};
  for (Line& line : profile_caveats(profile)) lines.push_back(std::move(line));
  return lines;
}

std::vector<Line> profile_caveats(const AllocationProfile& profile) {
  std::vector<Line> lines;
  if (profile.sampled()) {
    Line line;
    line.text("  sampled, a byte in ").bytes(profile.period).text(": allocated ± ");
    line.bytes(rounded(allocated_error(profile))).text(", live ± ").bytes(rounded(live_error(profile)));
    lines.push_back(line.text(" (95 of 100 times)"));
  }
  const ProfileLosses& losses = profile.losses;
  add_loss(lines, losses.no_room, " blocks were not recorded: the tables were full");
  add_loss(lines, losses.odd_address, " blocks were not recorded: their addresses do not fit the tables");
  add_loss(lines, losses.broken_stack, " stacks could not be followed to their end");
  add_loss(lines, losses.unknown_site, " live blocks have no stack in the tables");
  add_loss(lines, losses.mismatches, " stacks were found wrong when they were walked again");
  return lines;
}

FactObject profile_facts(const AllocationProfile& profile) {
  const BlockTotals passed = passed_in_all(profile);
  const BlockTotals recorded = sum_of(profile.allocated);
  const BlockTotals live = sum_of(profile.live);
  const BlockTotals peak = sum_of(profile.peak);
  const ProfileLosses& losses = profile.losses;
  const auto both = [](const BlockTotals& totals) {
    return FactObject{{"count", {totals.count}}, {"bytes", {totals.bytes}}};
  };
  FactObject peak_facts = both(peak);
  peak_facts.push_back({"at", {utc_time(profile.peak_ns)}});
  peak_facts.push_back({"rss", {profile.peak_rss}});
  return {{"began_at", {utc_time(profile.began_ns)}},
          {"ended_at", {utc_time(profile.ended_ns)}},
          {"seconds", {profile.seconds()}},
          {"period", {profile.period}},
          {"native", {profile.native}},
          {"passed", {both(passed)}},
          {"frees", {profile.frees}},
          {"allocated", {both(recorded)}},
          {"allocated_error", {rounded(allocated_error(profile))}},
          {"live", {both(live)}},
          {"live_error", {rounded(live_error(profile))}},
          {"peak", {std::move(peak_facts)}},
          {"slices", {std::uint64_t{profile.slices.size()}}},
          {"lost",
           {FactObject{{"no_room", {losses.no_room}},
                       {"odd_address", {losses.odd_address}},
                       {"broken_stack", {losses.broken_stack}},
                       {"unknown_site", {losses.unknown_site}},
                       {"mismatches", {losses.mismatches}}}}}};
}

std::string measure_name(ProfileMeasure measure) {
  switch (measure) {
    case ProfileMeasure::kLive:
      return "live";
    case ProfileMeasure::kPeak:
      return "peak";
    case ProfileMeasure::kTemporary:
      return "temporary";
    case ProfileMeasure::kAllocated:
      break;
  }
  return "allocated";
}

std::string measure_sentence(ProfileMeasure measure) {
  switch (measure) {
    case ProfileMeasure::kLive:
      return "what was allocated and not freed when tracking ended";
    case ProfileMeasure::kPeak:
      return "what was live when most bytes were, as far as the tables were read then";
    case ProfileMeasure::kTemporary:
      return "what was freed before the same thread allocated again; bytes by the mean size";
    case ProfileMeasure::kAllocated:
      break;
  }
  return "all that was allocated, freed or not      --leaks, --peak, --temporary show parts";
}

std::string location_text(std::string_view file, std::uint32_t line) {
  if (file.empty()) return "";
  std::string text(short_path(file));
  if (line != 0) text += fmt::format(":{}", line);
  return text;
}

std::string thread_text(std::string_view name, std::uint32_t tid) {
  if (tid == 0) return "(other threads)";
  return name.empty() ? fmt::format("{}", tid) : fmt::format("{} ({})", name, tid);
}

std::string entry_name(const ProfileEntry& entry, ProfileBy by) {
  if (by == ProfileBy::kThread) return thread_text(entry.function, entry.tid);
  if (by == ProfileBy::kFile && entry.function.empty()) {
    return entry.file.empty() ? "(no file)" : std::string(short_path(entry.file));
  }
  return entry.function.empty() ? "(no file)" : entry.function;
}

}  // namespace memsnap
