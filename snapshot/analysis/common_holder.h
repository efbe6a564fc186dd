#pragma once

#include "snapshot/analysis/ownership.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// The deepest node that dominates at least half of the nodes in `chosen`, and how many it dominates; kNoNode: they have
// no such holder. Needs dominators. Linear.
struct CommonHolder {
  NodeIndex node = kNoNode;
  std::uint64_t count = 0;
};
CommonHolder common_holder(const HeapGraph& graph, const BitSet& chosen);

}  // namespace memsnap
