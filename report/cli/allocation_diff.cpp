#include "report/cli/allocation_diff.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/cli/allocation_choice.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/profile_diff_report.h"

namespace memsnap {
namespace {

double rss_of(const AllocationProfile& profile) {
  return profile.slices.empty() ? 0 : static_cast<double>(profile.slices.back().rss);
}

bool crossed(const Expression& limit, const ProfileDiffInput& input) {
  const BlockTotals before = sum_of(column_of(*input.before.profile, input.measure));
  const BlockTotals after = sum_of(column_of(*input.after.profile, input.measure));
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  double largest = 0;
  for (const ProfileChange& change : input.changes) {
    largest = std::max(largest, static_cast<double>(change.bytes_delta()));
  }
  const double delta = number(after.bytes) - number(before.bytes);
  return limit.holds([&](const std::string& name) {
    if (name == "old") return number(before.bytes);
    if (name == "new") return number(after.bytes);
    if (name == "rss") return rss_of(*input.after.profile);
    if (name == "old_rss") return rss_of(*input.before.profile);
    if (name == "rss_delta") return rss_of(*input.after.profile) - rss_of(*input.before.profile);
    if (name == "count_delta") return number(after.count) - number(before.count);
    if (name == "largest") return largest;
    return name == "delta" ? delta : 100 * delta / number(before.bytes);
  });
}

Snapshot load_allocations(const std::string& file) {
  return load_chosen(file, [&](const FileContents& contents) {
    require_allocations(contents, file);
    return kPartProfile;
  });
}

}  // namespace

bool diffs_allocations(const Invocation& invocation, const TwoFiles& files) {
  const std::string by = option_value<std::string>(invocation.options, "by").value_or("");
  const bool objects = by == "type" || by == "path" || by == "memory";
  const bool implied = profile_by(by).has_value() && by != "module";
  const FileContents before = contents_of(inspect_snapshot(files.first));
  const FileContents after = contents_of(inspect_snapshot(files.second));
  if (objects && before.objects && after.objects) return false;
  if (objects) {
    throw Error(ExitCode::kUsage,
                fmt::format("{} has allocations only: no objects", before.objects ? files.second : files.first),
                "--by function, line, file, module, thread, allocator");
  }
  const bool first = wants_allocations(invocation, before, files.first, implied);
  const bool second = wants_allocations(invocation, after, files.second, implied);
  if (first || second) {
    require_allocations(before, files.first);
    require_allocations(after, files.second);
  }
  return first || second;
}

ExitCode diff_allocations(const Invocation& invocation, const TwoFiles& files, const DiffOptions& options,
                          const std::optional<Expression>& limit) {
  const Snapshot before = load_allocations(files.first);
  const Snapshot after = load_allocations(files.second);
  const std::string by = option_value<std::string>(invocation.options, "by").value_or("function");
  ProfileDiffInput input{before, after, profile_by(by).value_or(ProfileBy::kFunction), chosen_measure(invocation), {}};
  input.changes = diff_profiles(*before.profile, *after.profile, input.measure, input.by);
  const bool fails = limit && crossed(*limit, input);
  const bool differs = std::any_of(input.changes.begin(), input.changes.end(),
                                   [](const ProfileChange& change) { return change.before != change.after; });
  write_report(invocation, make_profile_diff(std::move(input), options.sort, options.rows, options.min_delta));
  if (fails) invocation.log.warning("threshold", fmt::format("threshold crossed: {}", limit->text()));
  return fails || (differs && option_flag(invocation.options, "exit-code")) ? ExitCode::kThreshold : ExitCode::kDone;
}

}  // namespace memsnap
