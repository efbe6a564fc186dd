#pragma once

#include <sys/types.h>

#include <vector>

#include "attach/memory_map.h"
#include "inject/protocol/walker_abi.h"

namespace memsnap {

// The resident parts of a process's heap memory (private anonymous mappings and [heap]), where objects that nothing
// reaches may hide. Pages that were never touched are left out, so that a huge reservation costs nothing.
std::vector<AddressRange> orphan_ranges(pid_t pid, const MemoryMap& map);

// All of that memory, where nothing says what of it was touched: of a core file, which has only what was.
std::vector<AddressRange> heap_ranges(const MemoryMap& map);

}  // namespace memsnap
