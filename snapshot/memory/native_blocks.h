#pragma once

#include <cstdint>

#include "attach/process_memory.h"
#include "inject/protocol/heap_layout.h"
#include "snapshot/memory/breakdown.h"
#include "snapshot/model/insert_nodes.h"

namespace memsnap {

struct NativeBlocks {
  NewNodes nodes;  // blocks that a Python object leads to; sizes as malloc has them
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
  std::uint64_t unowned_blocks = 0;  // blocks in use that hold no Python object, and that none leads to
  std::uint64_t unowned_bytes = 0;
};

// What C code keeps for Python objects: blocks of malloc in use, and of pymalloc, that hold no object and are reached
// from the C fields of objects (all types but those whose fields are known to be objects or counted in their size) and
// from one another. A word that points into a block counts as a reference: a conservative scan.
NativeBlocks find_native_blocks(const ProcessMemory& memory, const ProcessMemory& cached, const HeapGraph& graph,
                                const HeapLayout& layout, const MallocUse& use);

}  // namespace memsnap
