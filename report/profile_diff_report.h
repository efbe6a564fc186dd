#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "report/diff_report.h"
#include "report/report.h"
#include "snapshot/analysis/call_sums.h"
#include "snapshot/analysis/profile_diff.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

struct ProfileDiffInput {
  const Snapshot& before;
  const Snapshot& after;
  ProfileBy by = ProfileBy::kFunction;
  ProfileMeasure measure = ProfileMeasure::kAllocated;
  std::vector<ProfileChange> changes;  // of diff_profiles()
};

// What two captures allocated: memsnap.diff/1. Both snapshots have a profile.
Report make_profile_diff(ProfileDiffInput input, DiffSort sort, std::size_t rows, std::uint64_t min_delta);

}  // namespace memsnap
