#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "snapshot/memory/chunk_index.h"
#include "snapshot/memory/resident_pages.h"

namespace memsnap {

// A block of glibc's malloc. The caller of malloc was given address + 16; the 8 bytes before that hold the size.
struct MallocChunk {
  std::uint64_t address = 0;
  std::uint64_t size = 0;  // from this chunk to the next one
  enum class State : std::uint8_t { kInUse, kFree } state = State::kInUse;

  std::uint64_t end() const { return address + size; }
  bool in_use() const { return state == State::kInUse; }
};

// A contiguous run of chunks: the brk heap, a heap of another arena, or one chunk with a mapping of its own.
struct MallocSegment {
  std::uint64_t begin = 0;  // of the first chunk
  std::uint64_t end = 0;
  bool mmapped = false;
  // The arena's own structs in front of the first chunk begin here.
  std::uint64_t head = 0;
  ChunkIndex chunks{};  // empty when mmapped
};

// All of glibc's malloc in a process, as its chunk headers and bins describe it. Which chunks there are is held as two
// bits for each 16 bytes of heap, so that they can be gone through again without the process.
class MallocHeaps {
 public:
  MallocHeaps() = default;
  // `segments` in ascending order.
  MallocHeaps(std::vector<MallocSegment> segments, std::uint64_t arenas, std::uint64_t damaged)
      : segments_(std::move(segments)), arenas_(arenas), damaged_(damaged) {}

  // Calls `visit(const MallocChunk&)` in ascending order of address.
  template <typename Visit>
  void for_each_chunk(const Visit& visit) const {
    for (const MallocSegment& segment : segments_) for_each_chunk_of(segment, visit);
  }
  template <typename Visit>
  static void for_each_chunk_of(const MallocSegment& segment, const Visit& visit) {
    if (segment.mmapped) {
      visit(MallocChunk{segment.begin, segment.end - segment.begin, MallocChunk::State::kInUse});
      return;
    }
    segment.chunks.for_each([&](std::uint64_t begin, std::uint64_t end, bool free) {
      visit(MallocChunk{begin, end - begin, free ? MallocChunk::State::kFree : MallocChunk::State::kInUse});
    });
  }

  // The chunk that holds this address, its header too.
  std::optional<MallocChunk> find(std::uint64_t address) const;

  const std::vector<MallocSegment>& segments() const { return segments_; }
  std::uint64_t arenas() const { return arenas_; }    // 0: the process does not use glibc's malloc
  std::uint64_t damaged() const { return damaged_; }  // segments whose chunks could not be followed to the end

 private:
  std::vector<MallocSegment> segments_;
  std::uint64_t arenas_ = 0;
  std::uint64_t damaged_ = 0;
};

// Where chunks with mappings of their own are not looked for: memory that is known to be something else. Ascending.
using KnownRanges = std::vector<Run>;

// Finds malloc's arenas of any glibc from 2.28 on without a symbol: by the bins of a malloc_state, which refer to
// themselves, in the data of the C library, and by the heads of heaps at multiples of 64 MiB. Nothing is believed that
// is not consistent. Heaps are read in large pieces through `memory`, for which a cache is of no use; lists are
// followed through `cached`. `resident` may be null.
MallocHeaps find_malloc_heaps(const ProcessMemory& memory, const ProcessMemory& cached, const MemoryMap& map,
                              const std::vector<ElfImage::Section>& writable_data, const ResidentPages* resident,
                              const KnownRanges& known);

}  // namespace memsnap
