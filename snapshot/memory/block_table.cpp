#include "snapshot/memory/block_table.h"

#include <algorithm>
#include <iterator>

namespace memsnap {
namespace {

constexpr std::uint64_t kPoolHeader = 48;  // struct pool_header, and two fields of it
constexpr std::uint64_t kFreeBlock = 8;
constexpr std::uint64_t kNextOffset = 40;
constexpr std::uint64_t kMostBlocks = kNoBlock - 16;

// The end is the header of the next chunk, to which malloc's own lists point, in memory that was free before.
bool is_inside(std::uint64_t offset, std::uint64_t size) { return offset + kChunkHeader < size; }

}  // namespace

BlockTable::BlockTable(const ProcessMemory& cached, const HeapGraph& graph, const MallocHeaps& heaps,
                       const PythonBlocks& python, const std::vector<PymallocArena>& arenas)
    : cached_(cached), arenas_(arenas) {
  list_blocks(heaps, python);
  mark_objects(graph);
}

std::uint32_t BlockTable::malloc_block_at(std::uint64_t pointer) const {
  if (listed_ == 0 || pointer < begin_.front() || pointer >= begin_[listed_ - 1] + size_[listed_ - 1]) return kNoBlock;
  const auto end = begin_.begin() + static_cast<std::ptrdiff_t>(listed_);
  const auto after = std::upper_bound(begin_.begin(), end, pointer);
  if (after == begin_.begin()) return kNoBlock;
  const auto index = static_cast<std::uint32_t>(after - begin_.begin() - 1);
  return is_inside(pointer - begin_[index], size_[index]) ? index : kNoBlock;
}

std::uint32_t BlockTable::small_block_at(std::uint64_t pointer) {
  const std::size_t arena = arena_at(pointer);
  if (arena == arenas_.size() || is_object(arena, pointer) || begin_.size() >= kMostBlocks) return kNoBlock;
  const std::uint64_t pool = pointer / arenas_[arena].pool_size * arenas_[arena].pool_size;
  const auto header = read_pool(cached_, arenas_[arena], pool);
  if (!header || header->used == 0 || pointer < pool + kPoolHeader) return kNoBlock;
  const std::uint64_t size = header->block_size;
  const std::uint64_t begin = pool + kPoolHeader + (pointer - pool - kPoolHeader) / size * size;
  if (pointer - begin > kMostBlockLead) return kNoBlock;
  if (begin + size > pool + arenas_[arena].pool_size || is_free(pool, *header, begin)) return kNoBlock;
  for (std::uint64_t at = begin; at < begin + size; at += 16) {
    if (is_object(arena, at)) return kNoBlock;
  }
  const auto [place, is_new] = small_.try_emplace(begin, static_cast<std::uint32_t>(begin_.size()));
  if (is_new) {
    begin_.push_back(begin);
    size_.push_back(size);
  }
  return place->second;
}

void BlockTable::add_rest(std::uint64_t begin, std::uint64_t end) {
  if (begin_.size() >= kMostBlocks) return;
  begin_.push_back(begin);
  size_.push_back(end - begin);
}

void BlockTable::list_blocks(const MallocHeaps& heaps, const PythonBlocks& python) {
  auto taken = python.chunks.begin();
  heaps.for_each_chunk([&](const MallocChunk& chunk) {
    while (taken != python.chunks.end() && *taken < chunk.address) ++taken;
    const bool is_python = taken != python.chunks.end() && *taken == chunk.address;
    if (!chunk.in_use() || is_python || chunk.size <= kChunkHeader || begin_.size() >= kMostBlocks) return;
    begin_.push_back(chunk.address + kChunkHeader);
    size_.push_back(chunk.size);
  });
  listed_ = begin_.size();
}

void BlockTable::mark_objects(const HeapGraph& graph) {
  objects_.resize(arenas_.size());
  std::size_t arena = 0;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    const std::uint64_t address = graph.address[node];
    while (arena < arenas_.size() && arenas_[arena].end() <= address) ++arena;
    if (arena == arenas_.size()) return;
    if (address < arenas_[arena].address) continue;
    if (objects_[arena].empty()) objects_[arena].resize(arenas_[arena].arena_size / 16);
    objects_[arena][(address - arenas_[arena].address) / 16] = true;
  }
}

bool BlockTable::is_free(std::uint64_t pool, const PymallocPool& header, std::uint64_t block) {
  if (pool != free_pool_) {
    free_pool_ = pool;
    free_.clear();
    std::uint64_t next = cached_.try_read<std::uint64_t>(pool + kFreeBlock).value_or(0);
    const std::size_t most = (16u << 10) / header.block_size;
    while (next > pool && next - pool < (16u << 10) && free_.size() < most) {
      free_.push_back(next);
      next = cached_.try_read<std::uint64_t>(next).value_or(0);
    }
    never_used_ = pool + cached_.try_read<std::uint32_t>(pool + kNextOffset).value_or(0);
  }
  return block >= never_used_ || std::find(free_.begin(), free_.end(), block) != free_.end();
}

bool BlockTable::is_object(std::size_t arena, std::uint64_t address) const {
  return !objects_[arena].empty() && address < arenas_[arena].end() &&
         objects_[arena][(address - arenas_[arena].address) / 16];
}

std::size_t BlockTable::arena_at(std::uint64_t pointer) const {
  const auto after = std::upper_bound(arenas_.begin(), arenas_.end(), pointer,
                                      [](std::uint64_t at, const PymallocArena& arena) { return at < arena.address; });
  if (after == arenas_.begin() || pointer >= std::prev(after)->end()) return arenas_.size();
  return static_cast<std::size_t>(after - arenas_.begin() - 1);
}

}  // namespace memsnap
