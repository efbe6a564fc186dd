#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "snapshot/memory/resident_pages.h"

namespace memsnap {

// An arena of CPython's allocator for small blocks (Objects/obmalloc.c).
struct PymallocArena {
  std::uint64_t address = 0;
  std::uint64_t unused = 0;  // pools from here on were never made
  std::uint32_t arena_size = 0;
  std::uint32_t pool_size = 0;

  std::uint64_t end() const { return address + arena_size; }
  std::uint64_t first_pool() const { return (address + pool_size - 1) / pool_size * pool_size; }
};

// What a pool holds, from its header.
struct PymallocPool {
  std::uint32_t block_size = 0;
  std::uint32_t used = 0;  // blocks; 0: it could be given to any size

  std::uint64_t used_bytes() const { return std::uint64_t{block_size} * used; }
};

// The arenas of every interpreter: by the table of them that a variable in `places` points to, whose entries must all
// be those of one form of arena. The table is read through `cached`, pools, one word here and there, through `memory`.
// Ascending; empty where there are none (PYTHONMALLOC=malloc).
std::vector<PymallocArena> find_pymalloc_arenas(const ProcessMemory& memory, const ProcessMemory& cached,
                                                const MemoryMap& map, const std::vector<ElfImage::Section>& places);

// Empty for memory that is no pool's header.
std::optional<PymallocPool> read_pool(const ProcessMemory& memory, const PymallocArena& arena, std::uint64_t pool);

// Where the bytes of arenas are.
struct PymallocUse {
  std::uint64_t arenas = 0;
  std::uint64_t resident = 0;
  std::uint64_t used = 0;          // in blocks in use, resident
  std::uint64_t unused_pools = 0;  // resident bytes of pools without a block in use, and of what never was a pool
  std::uint64_t damaged = 0;       // pools whose header is none: counted as in use
};
PymallocUse measure_arena(const ProcessMemory& memory, const PymallocArena& arena, const ResidentPages& resident);

}  // namespace memsnap
