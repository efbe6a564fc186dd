#pragma once

#include <cstdint>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/memory/chunk_index.h"

namespace memsnap {

// What following the chunk headers of one heap gave.
struct ChunkWalk {
  ChunkIndex chunks{};
  bool complete = false;                      // it came to the top chunk, or to the mark at a heap's end
  std::vector<std::uint64_t> tcache_sized{};  // chunks in use that have the size of a thread's cache
};

// Follows the headers from `first` on, which ends at `limit` at the latest. `top`: the arena's last chunk, which is
// free; 0 when it is in another heap. In use is what the next chunk's header says of it: chunks in a thread's cache or
// in a fast bin still count as in use.
ChunkWalk walk_chunks(const ProcessMemory& memory, std::uint64_t first, std::uint64_t limit, std::uint64_t top,
                      bool main_arena);

// sizeof(tcache_perthread_struct) as a chunk: to 2.29, to 2.41, from 2.42 on.
inline constexpr std::uint64_t kTcacheBytes = 0x250;
inline constexpr std::uint64_t kTcacheHalfWords = 0x290;
inline constexpr std::uint64_t kTcacheSlots = 0x300;

}  // namespace memsnap
