#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "inject/protocol/heap_layout.h"

namespace memsnap {

// In the middle of a collection objects are in lists whose heads are local variables of the collector: PyGC_Head words
// on the stack of the thread that collects (Modules/gcmodule.c, Python/gc.c). Finds such heads: stack words that a
// chain of `next` links, of objects all the way, comes back to. `thread_ids` are pthread_t values, which lie in their
// stacks. `known` are the heads that are in the interpreter. Linear in the lists' length.
std::vector<std::uint64_t> find_stack_heads(const ProcessMemory& memory, const MemoryMap& map, const HeapLayout& layout,
                                            std::span<const std::uint64_t> thread_ids,
                                            std::span<const std::uint64_t> known);

}  // namespace memsnap
