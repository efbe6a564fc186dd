#pragma once

#include <cstdint>
#include <vector>

#include "snapshot/analysis/ownership.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// The dominator tree in the numbering of a depth-first search: 0 is the virtual root above all roots, and a node's
// dominator always has a smaller number than the node.
struct DominatorTree {
  std::vector<NodeIndex> node;      // by number; [0] is kNoNode
  std::vector<std::uint32_t> idom;  // by number
};

// Over the references that own, once settled. Nodes that no root reaches are not in the tree.
DominatorTree build_dominators(const HeapGraph& graph, const Ownership& ownership);

}  // namespace memsnap
