#pragma once

#include "snapshot/analysis/ownership.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Nodes that no root but those of kind kUnknown leads to, weak references not followed: garbage not yet collected, or
// what only C refers to.
BitSet find_unreachable(const HeapGraph& graph);

}  // namespace memsnap
