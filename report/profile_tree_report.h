#pragma once

#include "report/report.h"
#include "snapshot/analysis/call_sums.h"
#include "snapshot/analysis/call_tree.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

struct ProfileTreeOptions {
  ProfileMeasure measure = ProfileMeasure::kAllocated;
  bool inverted = false;    // from where blocks were allocated out to the callers
  bool all_frames = false;  // those of the import system too
  TreeLimits limits{.depth = 0, .min_percent = 1, .max_children = 20};
};

// Who called what allocated: memsnap.tree/1. The snapshot has a profile.
Report make_profile_tree(const Snapshot& snapshot, const ProfileTreeOptions& options);

}  // namespace memsnap
