#pragma once

#include <vector>

#include "snapshot/analysis/ownership.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Roots of last resort: each becomes one only when nothing before it reaches its node.
void add_late_roots(HeapGraph& graph, Ownership& ownership, const std::vector<Root>& late);

// add_unknown_roots() of retained.h, for callers that need what is reachable afterwards too.
void add_unknown_roots(HeapGraph& graph, Ownership& ownership);

}  // namespace memsnap
