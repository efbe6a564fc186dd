#pragma once

#include <cstdint>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/memory/malloc_arena.h"
#include "snapshot/memory/malloc_heap.h"

namespace memsnap {

// Marks chunks as free that their neighbour's header does not: those in an arena's fast bins and in threads' caches.
// `tcache_sized` are chunks that have the size of such a cache: what is in one proves it.
void mark_listed_chunks(const ProcessMemory& memory, const std::vector<MallocArena>& arenas,
                        const std::vector<std::uint64_t>& tcache_sized, std::vector<MallocSegment>& segments);

}  // namespace memsnap
