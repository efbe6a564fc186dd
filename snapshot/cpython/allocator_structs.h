#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

// Where CPython keeps the functions that its domains MEM and OBJ allocate with: two PyMemAllocatorEx
// (Objects/obmalloc.c, from 3.12 on in _PyRuntime.allocators.standard). They are not told apart: both have the same
// functions.
struct AllocatorStructs {
  std::uint64_t mem = 0;
  std::uint64_t obj = 0;
};

// Empty when they are not pymalloc's, as with PYTHONMALLOC, while tracemalloc traces, or in a debug build.
std::optional<AllocatorStructs> find_allocator_structs(const ProcessMemory& memory, const MemoryMap& map,
                                                       const std::vector<std::unique_ptr<ElfImage>>& images,
                                                       const PythonProcess& python);

}  // namespace memsnap
