#pragma once

#include <cstdint>
#include <vector>

#include "snapshot/analysis/profile_totals.h"
#include "snapshot/model/allocation_profile.h"

namespace memsnap {

// What one function, line, ... allocated itself in two recordings; `entry` is the later one's, where it has it.
struct ProfileChange {
  ProfileEntry entry;
  BlockTotals before;
  BlockTotals after;

  std::int64_t bytes_delta() const { return static_cast<std::int64_t>(after.bytes - before.bytes); }
  std::int64_t count_delta() const { return static_cast<std::int64_t>(after.count - before.count); }
};

// Matched by name and file, and line where `by` says so: a function is the same one when its first line has moved.
std::vector<ProfileChange> diff_profiles(const AllocationProfile& before, const AllocationProfile& after,
                                         ProfileMeasure measure, ProfileBy by);

}  // namespace memsnap
