#pragma once

#include "snapshot/analysis/ownership.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Makes every node reachable: what no root leads to gets roots of its own (RootKind::kUnknown), as few as will do,
// in ascending order of address. Linear in nodes and edges.
void add_unknown_roots(HeapGraph& graph);

// Fills dominator and retained, and count, size and retained of every type. Nodes that no root reaches are dominated
// by nothing and retain themselves only. Throws std::invalid_argument when the graph's columns do not fit together.
void compute_retained(HeapGraph& graph);
void compute_retained(HeapGraph& graph, Ownership& ownership);  // when what is reachable has been found already

// Both, in one go: what is reachable is found once.
void analyze(HeapGraph& graph);

}  // namespace memsnap
