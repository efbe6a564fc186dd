#pragma once

#include <vector>

#include "attach/process_memory.h"
#include "snapshot/memory/breakdown.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What C code keeps for objects becomes part of the graph, and its sums of the header. `late_roots` are kept in step.
void add_native_memory(Snapshot& snapshot, std::vector<Root>& late_roots, const ProcessMemory& memory,
                       const HeapLayout& layout, const MallocUse& use);

}  // namespace memsnap
