#pragma once

#include "attach/base/log.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/walk/heap_walker.h"

namespace memsnap {

// Where the walk of this target begins: modules, threads with their frames, collector lists, and what the interpreter
// itself holds. Throws Error kUnsupported when the collector's lists are not found.
WalkPlan make_plan(const ProcessMemory& memory, const MemoryMap& map, const PythonProcess& python, Log& log);

}  // namespace memsnap
