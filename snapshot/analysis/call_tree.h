#pragma once

#include "snapshot/analysis/call_sums.h"
#include "snapshot/analysis/containment.h"
#include "snapshot/model/allocation_profile.h"

namespace memsnap {

// No tree is deeper than this, whatever the limits say: who draws it calls itself for each level.
inline constexpr std::uint32_t kDeepestCallTree = 300;

// The calls as lines of a tree: label the function, `file` and `line` where it was, size what it allocated itself,
// retained that with all below, count the blocks. The node returned stands for all. `inverted`: from the calls that
// allocated, out to their callers.
TreeNode build_call_tree(const AllocationProfile& profile, const CallSums& sums, bool inverted,
                         const TreeLimits& limits);

}  // namespace memsnap
