#pragma once

#include <vector>

#include "snapshot/analysis/ownership.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/model/snapshot_diff.h"

namespace memsnap {

// In ascending order of name. Needs `types` and their names.
std::vector<TypeChange> diff_types(const HeapGraph& before, const HeapGraph& after);

// An address means the same in both.
bool same_process(const TargetInfo& a, const TargetInfo& b);

// Of one process. Needs types, nodes and addresses; text hashes when there are some.
ObjectChanges diff_objects(const HeapGraph& before, const HeapGraph& after);

// The nodes of `after` that diff_objects() counts as added. Needs the same columns.
BitSet added_objects(const HeapGraph& before, const HeapGraph& after);

}  // namespace memsnap
