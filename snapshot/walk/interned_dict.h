#pragma once

#include <cstdint>

#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

// The dict of interned strings of CPython to 3.11: a static variable that is not exported (Objects/unicodeobject.c), in
// the data of the image that holds PyDict_Type. Known by every key being its own value. 0: not found.
std::uint64_t find_interned(const ProcessMemory& memory, const MemoryMap& map, const PythonProcess& python);

}  // namespace memsnap
