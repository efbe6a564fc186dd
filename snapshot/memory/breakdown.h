#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

#include "attach/elf_image.h"
#include "attach/frozen_process.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/memory/malloc_heap.h"
#include "snapshot/memory/pymalloc.h"
#include "snapshot/memory/python_blocks.h"
#include "snapshot/memory/resident_pages.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// Accounts for the RSS of a process: each byte of a resident page belongs to one part. `graph` has the objects of the
// walk, `resident` the pages of the process itself at the freeze. Fills parts, allocator and the other members of
// MemoryTotals that go with them. Gives what malloc has, and which of it is Python's.
struct MallocUse {
  MallocHeaps heaps;
  PythonBlocks python;
  std::vector<PymallocArena> arenas;
};
MallocUse account_for_memory(const FrozenProcess& frozen, FrozenChild* child, const PythonProcess& python,
                             const std::vector<std::unique_ptr<ElfImage>>& images, const HeapGraph& graph,
                             const ResidentPages& resident, MemoryTotals& totals);

}  // namespace memsnap
