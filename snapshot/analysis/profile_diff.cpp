#include "snapshot/analysis/profile_diff.h"

#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace memsnap {
namespace {

using Key = std::tuple<std::string, std::uint32_t, std::string>;

Key key_of(const ProfileEntry& entry, ProfileBy by) {
  return {entry.file, by == ProfileBy::kLine ? entry.line : 0, entry.function};
}

}  // namespace

std::vector<ProfileChange> diff_profiles(const AllocationProfile& before, const AllocationProfile& after,
                                         ProfileMeasure measure, ProfileBy by) {
  std::map<Key, ProfileChange> found;
  for (const bool later : {false, true}) {
    const AllocationProfile& profile = later ? after : before;
    for (const ProfileEntry& entry : profile_totals(profile, column_of(profile, measure), by, false)) {
      ProfileChange& change = found[key_of(entry, by)];
      BlockTotals& side = later ? change.after : change.before;
      // Of several functions of one name the largest is shown.
      if (entry.own.bytes >= side.bytes) change.entry = entry;
      side.count += entry.own.count;
      side.bytes += entry.own.bytes;
    }
  }
  std::vector<ProfileChange> changes;
  changes.reserve(found.size());
  for (auto& [key, change] : found) changes.push_back(std::move(change));
  return changes;
}

}  // namespace memsnap
