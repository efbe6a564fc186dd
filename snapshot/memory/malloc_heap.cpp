#include "snapshot/memory/malloc_heap.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

#include "snapshot/memory/chunk_walk.h"
#include "snapshot/memory/free_lists.h"
#include "snapshot/memory/malloc_arena.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kHeader = 16;
constexpr std::uint64_t kMmapped = 2;
constexpr std::uint64_t kFlags = 7;
// Others may have moved the break before malloc did: its first chunk is looked for so far.
constexpr std::uint64_t kStartSearched = 8192;

class HeapFinder {
 public:
  HeapFinder(const ProcessMemory& memory, const ProcessMemory& cached, const MemoryMap& map)
      : memory_(memory), cached_(cached), map_(map) {}

  MallocHeaps find(const std::vector<ElfImage::Section>& writable_data, const ResidentPages* resident,
                   const KnownRanges& known) {
    const MallocArenas found = find_arenas(cached_, map_, writable_data);
    if (found.arenas.empty()) return {};
    for (const std::size_t main : found.main) walk_main(found.arenas[main]);
    for (const ArenaHeap& heap : found.heaps) walk_heap(heap, found.arenas[heap.arena].top);
    const auto by_begin = [](const MallocSegment& a, const MallocSegment& b) { return a.begin < b.begin; };
    std::sort(segments_.begin(), segments_.end(), by_begin);
    mark_listed_chunks(cached_, found.arenas, tcache_sized_, segments_);
    find_mmapped(resident, known);
    std::sort(segments_.begin(), segments_.end(), by_begin);
    return {std::move(segments_), found.arenas.size(), damaged_};
  }

 private:
  void keep(ChunkWalk walk, std::uint64_t head) {
    if (!walk.complete) ++damaged_;
    if (walk.chunks.end() == walk.chunks.begin()) return;
    tcache_sized_.insert(tcache_sized_.end(), walk.tcache_sized.begin(), walk.tcache_sized.end());
    MallocSegment segment;
    segment.begin = walk.chunks.begin();
    segment.end = walk.chunks.end();
    segment.head = std::min(head, segment.begin);
    segment.chunks = std::move(walk.chunks);
    segments_.push_back(std::move(segment));
  }

  // The brk heap, which ends with the top chunk; where brk was refused it is a mapping.
  void walk_main(const MallocArena& arena) {
    const Mapping* const mapping = map_.find(arena.top);
    if (mapping == nullptr) return;
    Run heap;
    for (const Mapping& piece : map_.mappings()) {  // ascending; flags of a part split a heap into several
      if (piece.name != mapping->name || !is_anonymous(piece)) continue;
      if (piece.begin == heap.end) {
        heap.end = piece.end;
      } else if (piece.begin <= arena.top) {
        heap = {piece.begin, piece.end};
      }
    }
    ChunkWalk walk = walk_chunks(memory_, heap.begin, heap.end, arena.top, true);
    if (walk.complete) return keep(std::move(walk), heap.begin);
    // Either others moved the break first, or a header was overwritten: chunks that lead to the top are malloc's.
    const std::uint64_t broken = std::max(walk.chunks.end(), heap.begin + 16);
    if (walk.chunks.end() != heap.begin) keep(std::move(walk), heap.begin);
    for (std::uint64_t at = broken; at < std::min(broken + kStartSearched, arena.top); at += 16) {
      ChunkWalk rest = walk_chunks(memory_, at, heap.end, arena.top, true);
      if (rest.complete) return keep(std::move(rest), at);
    }
    if (segments_.empty()) ++damaged_;
  }

  void walk_heap(const ArenaHeap& heap, std::uint64_t top) {
    const std::uint64_t end = heap.address + heap.size;
    const bool has_top = top >= heap.first_chunk && top < end;
    keep(walk_chunks(memory_, heap.first_chunk, end, has_top ? top : 0, false), heap.address);
  }

  // What is no mmapped chunk: known memory and the heaps, in ascending order.
  std::vector<Run> taken(const KnownRanges& known) const {
    std::vector<Run> ranges(known.begin(), known.end());
    for (const MallocSegment& segment : segments_) ranges.push_back({segment.head, segment.end});
    std::sort(ranges.begin(), ranges.end(), [](const Run& a, const Run& b) { return a.begin < b.begin; });
    return ranges;
  }

  void find_mmapped(const ResidentPages* resident, const KnownRanges& known) {
    const std::vector<Run> ranges = taken(known);
    auto next = ranges.begin();
    for (const Run& region : anonymous_ranges(map_)) {
      bool at_border = true;                // something else ended here
      std::uint64_t border = region.begin;  // where the last known thing ended
      for (std::uint64_t at = region.begin; at < region.end;) {
        while (next != ranges.end() && next->end <= at) ++next;
        if (next != ranges.end() && next->begin <= at) {
          at = border = (next->end + kPage - 1) / kPage * kPage;
          at_border = true;
          continue;
        }
        if (resident != nullptr && resident->bytes(at, at + kPage) == 0) {
          at = std::max(at + kPage, std::min(resident->next(at), region.end));
          at_border = true;
          continue;
        }
        const std::uint64_t limit = next == ranges.end() ? region.end : std::min(region.end, next->begin);
        const auto chunk = mmapped_chunk(at, {border, limit}, at_border);
        at_border = chunk.has_value();
        at = chunk ? chunk->end : at + kPage;
        if (!chunk) continue;
        border = chunk->end;
        MallocSegment segment;
        segment.begin = segment.head = chunk->begin;
        segment.end = chunk->end;
        segment.mmapped = true;
        segments_.push_back(std::move(segment));
      }
    }
  }

  // A chunk that begins with the page, or, when it was aligned for its caller, behind the begin of its mapping:
  // prev_size says how far. Up to 2.42 size goes to the end of the mapping, from 2.43 on it leaves a header's room
  // there.
  std::optional<Run> mmapped_chunk(std::uint64_t page, Run space, bool thorough) const {
    std::array<std::uint64_t, kPage / 8> words{};
    const std::size_t count = thorough ? words.size() : 8;
    if (!memory_.copy(page, std::as_writable_bytes(std::span(words).first(count)))) return std::nullopt;
    for (std::uint64_t offset = 0; offset + 16 <= count * 8; offset = offset == 0 ? 16 : 2 * offset + 16) {
      const std::uint64_t lead = words.at(offset / 8);
      const std::uint64_t header = words.at(offset / 8 + 1);
      const std::uint64_t size = header & ~kFlags;
      if ((header & kFlags) != kMmapped || lead % kPage != offset || lead > page + offset - space.begin) continue;
      if (size < kPage / 2 || size > space.end - page) continue;
      const std::uint64_t end = (page + offset + size + kPage - 1) / kPage * kPage;
      if (end - (page + offset + size) != 0 && end - (page + offset + size) != kHeader) continue;
      if (end <= space.end) return Run{page + offset, end};
    }
    return std::nullopt;
  }

  const ProcessMemory& memory_;
  const ProcessMemory& cached_;
  const MemoryMap& map_;
  std::vector<MallocSegment> segments_;
  std::vector<std::uint64_t> tcache_sized_;
  std::uint64_t damaged_ = 0;
};

}  // namespace

std::optional<MallocChunk> MallocHeaps::find(std::uint64_t address) const {
  const auto after =
      std::upper_bound(segments_.begin(), segments_.end(), address,
                       [](std::uint64_t at, const MallocSegment& segment) { return at < segment.begin; });
  if (after == segments_.begin()) return std::nullopt;
  const MallocSegment& segment = *std::prev(after);
  if (address >= segment.end) return std::nullopt;
  if (segment.mmapped) return MallocChunk{segment.begin, segment.end - segment.begin, MallocChunk::State::kInUse};
  const auto extent = segment.chunks.find(address);
  if (!extent) return std::nullopt;
  const bool free = segment.chunks.is_free(extent->begin);
  return MallocChunk{extent->begin, extent->end - extent->begin,
                     free ? MallocChunk::State::kFree : MallocChunk::State::kInUse};
}

MallocHeaps find_malloc_heaps(const ProcessMemory& memory, const ProcessMemory& cached, const MemoryMap& map,
                              const std::vector<ElfImage::Section>& writable_data, const ResidentPages* resident,
                              const KnownRanges& known) {
  return HeapFinder(memory, cached, map).find(writable_data, resident, known);
}

}  // namespace memsnap
