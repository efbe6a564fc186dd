#pragma once

#include <vector>

#include "snapshot/analysis/holders.h"
#include "snapshot/analysis/ownership.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/model/snapshot_diff.h"

namespace memsnap {

// In ascending order of name. Needs `types` and their names.
std::vector<Change> diff_types(const HeapGraph& before, const HeapGraph& after);

// The paths of the dominator tree, in ascending order; what retains less than the limit in one snapshot counts as
// nothing there.
std::vector<Change> diff_holders(const HeapGraph& before, const HeapGraph& after, const HolderLimits& limits);

// Parts of the process's memory, in the order of the header; without a count.
std::vector<Change> diff_memory(const MemoryTotals& before, const MemoryTotals& after);

// An address means the same in both.
bool same_process(const TargetInfo& a, const TargetInfo& b);

// Of one process. Needs types, nodes and addresses; text hashes when there are some.
ObjectChanges diff_objects(const HeapGraph& before, const HeapGraph& after);
// The nodes of `after` that are new objects, one bit each. Needs the same.
BitSet added_objects(const HeapGraph& before, const HeapGraph& after);

}  // namespace memsnap
