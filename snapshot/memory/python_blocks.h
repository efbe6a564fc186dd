#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/memory/malloc_heap.h"
#include "snapshot/memory/pymalloc.h"
#include "snapshot/memory/ranges.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Memory outside pymalloc's arenas that belongs to Python objects.
struct PythonBlocks {
  std::vector<std::uint64_t> chunks;  // chunks of malloc, ascending
  // Ranges in memory that is neither malloc's nor pymalloc's; in no order.
  std::vector<Run> elsewhere;
};

// An object's own place, and the blocks that are counted in its size: those of malloc to which a field points and that
// are not larger than what its size says of them (items of a list, keys of a dict, data of an array, ...). A block that
// an object points to but does not count stays native. Ranges elsewhere, in one of `gaps`, are taken from sizes alone.
PythonBlocks find_python_blocks(const ProcessMemory& memory, const HeapGraph& graph, const MallocHeaps& heaps,
                                const std::vector<PymallocArena>& arenas, std::span<const Run> gaps);

}  // namespace memsnap
