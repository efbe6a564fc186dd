#include "report/cli/allocation_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "report/cli/option_values.h"
#include "report/cli/report_command.h"

namespace memsnap {

namespace po = boost::program_options;

FileContents contents_of(const SnapshotInfo& info) {
  const auto has = [&](const char* name) {
    return std::any_of(info.parts.begin(), info.parts.end(), [&](const PartInfo& part) { return part.name == name; });
  };
  return {.objects = info.header.kind != SnapshotKind::kAllocations,
          .allocations = has("profile"),
          .sites = has("allocation site")};
}

void add_allocation_options(po::options_description& options) {
  auto add = options.add_options();
  add("allocations", po::bool_switch(), "of a file that has objects too: what was allocated");
  add("leaks", po::bool_switch(), "allocations not freed when tracking ended");
  add("peak", po::bool_switch(), "allocations live when most bytes were");
  add("temporary", po::bool_switch(), "allocations freed before the next one of their thread");
}

ProfileMeasure chosen_measure(const Invocation& invocation) {
  constexpr std::array<std::pair<const char*, ProfileMeasure>, 3> kMeasures{
      {{"leaks", ProfileMeasure::kLive}, {"peak", ProfileMeasure::kPeak}, {"temporary", ProfileMeasure::kTemporary}}};
  std::optional<ProfileMeasure> chosen;
  for (const auto& [name, measure] : kMeasures) {
    if (!option_flag(invocation.options, name)) continue;
    if (chosen) throw Error(ExitCode::kUsage, "--leaks, --peak and --temporary exclude each other", "one at a time");
    chosen = measure;
  }
  return chosen.value_or(ProfileMeasure::kAllocated);
}

void require_allocations(const FileContents& contents, const std::string& file) {
  if (contents.allocations) return;
  throw Error(ExitCode::kUsage, fmt::format("{} has no allocations in it: the process was not tracked", file),
              "memsnap attach PID --for 10s tracks it; memsnap info lists what a file holds");
}

bool wants_allocations(const Invocation& invocation, const FileContents& contents, const std::string& file,
                       bool implied) {
  const bool asked = implied || option_flag(invocation.options, "allocations") ||
                     chosen_measure(invocation) != ProfileMeasure::kAllocated;
  if (asked) require_allocations(contents, file);
  return asked || !contents.objects;
}

std::optional<ProfileBy> profile_by(const std::string& word) {
  constexpr std::array<std::pair<std::string_view, ProfileBy>, 6> kWords{{{"function", ProfileBy::kFunction},
                                                                          {"line", ProfileBy::kLine},
                                                                          {"file", ProfileBy::kFile},
                                                                          {"module", ProfileBy::kModule},
                                                                          {"thread", ProfileBy::kThread},
                                                                          {"allocator", ProfileBy::kAllocator}}};
  for (const auto& [name, by] : kWords) {
    if (name == word) return by;
  }
  return std::nullopt;
}

Snapshot load_chosen(const std::string& path, const std::function<Parts(const FileContents&)>& choose) {
  const SnapshotInfo info = inspect_snapshot(path);
  require_intact(info, path);
  return load_snapshot(path, choose(contents_of(info)));
}

}  // namespace memsnap
