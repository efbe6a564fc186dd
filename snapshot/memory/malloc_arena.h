#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "snapshot/memory/ranges.h"

namespace memsnap {

// An arena of glibc's malloc: a malloc_state that was verified.
struct MallocArena {
  std::uint64_t address = 0;
  std::uint64_t bins = 0;  // address of its bins
  std::uint64_t top = 0;   // its last chunk
  bool has_fast_bins = false;

  std::uint64_t end() const;  // behind the struct
};

// One of the heaps of an arena that is not the main one.
struct ArenaHeap {
  std::uint64_t address = 0;  // heap_info
  std::uint64_t size = 0;     // the part in use, from `address` on
  std::uint64_t first_chunk = 0;
  std::size_t arena = 0;  // index
};

struct MallocArenas {
  std::vector<MallocArena> arenas;
  std::vector<std::size_t> main;  // indices of those that grow by brk: one, but for libraries in other namespaces
  std::vector<ArenaHeap> heaps;   // ascending
};

// Finds the arenas. `writable_data` is where the C library's own may be.
MallocArenas find_arenas(const ProcessMemory& memory, const MemoryMap& map,
                         const std::vector<ElfImage::Section>& writable_data);

// Runs of adjacent private writable mappings, of which some kind of memory is made: mappings split and merge.
std::vector<Run> anonymous_ranges(const MemoryMap& map);
bool is_anonymous(const Mapping& mapping);

}  // namespace memsnap
