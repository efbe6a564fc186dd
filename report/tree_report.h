#pragma once

#include "report/report.h"
#include "snapshot/analysis/containment.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What holds what: memsnap.tree/1. The snapshot must be of the heap kind and analysed: else Error kUsage.
Report make_tree(const Snapshot& snapshot, const TreeLimits& limits);

}  // namespace memsnap
