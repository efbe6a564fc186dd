#pragma once

#include "snapshot/analysis/ownership.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// add_unknown_roots() of retained.h, for callers that need what is reachable afterwards too.
void add_unknown_roots(HeapGraph& graph, Ownership& ownership);

}  // namespace memsnap
