#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/memory/malloc_heap.h"
#include "snapshot/memory/pymalloc.h"
#include "snapshot/memory/python_blocks.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

inline constexpr std::uint32_t kNoBlock = std::numeric_limits<std::uint32_t>::max();
inline constexpr std::uint64_t kChunkHeader = 16;    // before what malloc's caller was given
inline constexpr std::uint64_t kMostBlockLead = 64;  // a pointer this far in is still one to the block's begin

// The blocks there are: malloc's that hold no Python object, and those of pymalloc that a pointer leads to. Each has a
// number, malloc's in ascending order of address before all others.
class BlockTable {
 public:
  // All must outlive it.
  BlockTable(const ProcessMemory& cached, const HeapGraph& graph, const MallocHeaps& heaps, const PythonBlocks& python,
             const std::vector<PymallocArena>& arenas);

  bool is_small(std::uint64_t address) const { return arena_at(address) != arenas_.size(); }

  // The block that a pointer leads into; the last 8 bytes of a chunk are its successor's header, and the block's too.
  std::uint32_t malloc_block_at(std::uint64_t pointer) const;

  // A small block that no object is in.
  std::uint32_t small_block_at(std::uint64_t pointer);

  // What an object's own block has behind all that the object counts in its size: the data of cffi's objects.
  void add_rest(std::uint64_t begin, std::uint64_t end);

  std::size_t count() const { return begin_.size(); }
  std::size_t listed() const { return listed_; }  // malloc's
  std::uint64_t begin(std::uint32_t block) const { return begin_[block]; }
  std::uint64_t size(std::uint32_t block) const { return size_[block]; }
  std::uint64_t bytes_inside(std::uint32_t block) const {
    return block < listed_ ? size_[block] - kChunkHeader / 2 : size_[block];
  }

 private:
  void list_blocks(const MallocHeaps& heaps, const PythonBlocks& python);

  // One bit for each 16 bytes of an arena.
  void mark_objects(const HeapGraph& graph);

  // Free blocks of a pool are a list; those behind next_offset were never used.
  bool is_free(std::uint64_t pool, const PymallocPool& header, std::uint64_t block);

  bool is_object(std::size_t arena, std::uint64_t address) const;

  std::size_t arena_at(std::uint64_t pointer) const;

  const ProcessMemory& cached_;
  const std::vector<PymallocArena>& arenas_;
  std::vector<std::uint64_t> begin_;  // of what the caller was given
  std::vector<std::uint64_t> size_;   // with malloc's own header
  std::size_t listed_ = 0;
  std::unordered_map<std::uint64_t, std::uint32_t> small_;
  std::vector<std::vector<bool>> objects_;
  std::uint64_t free_pool_ = 0;  // whose free blocks are known:
  std::vector<std::uint64_t> free_;
  std::uint64_t never_used_ = 0;
};

}  // namespace memsnap
