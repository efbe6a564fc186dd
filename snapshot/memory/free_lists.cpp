#include "snapshot/memory/free_lists.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>

#include "snapshot/memory/chunk_walk.h"

namespace memsnap {
namespace {

constexpr std::size_t kFastBins = 10;
constexpr std::size_t kSmallBins = 64;      // of a thread's cache: one size each
constexpr std::size_t kLongestList = 1024;  // tcache_count is a tunable; 7 or 16 by default
constexpr std::size_t kMostChecked = 1u << 24;
// Fast bins link chunks, caches what the caller of malloc was given.
constexpr std::uint64_t kOfChunk = 0;
constexpr std::uint64_t kOfUser = 16;

class ListMarker {
 public:
  ListMarker(const ProcessMemory& memory, std::vector<MallocSegment>& segments)
      : memory_(memory), segments_(segments) {}

  void mark_fast_bins(const MallocArena& arena) {
    std::array<std::uint64_t, kFastBins> heads{};
    if (!memory_.copy(arena.bins - 16 - sizeof(heads), std::as_writable_bytes(std::span(heads)))) return;
    for (std::size_t bin = 0; bin < kFastBins; ++bin) {
      const std::uint64_t size = (bin + 2) * 16;
      for (std::uint64_t chunk = heads.at(bin), steps = 0; chunk != 0 && steps < kMostChecked; ++steps) {
        // One that was marked before ends a list that runs in circles.
        if (!is_listed_chunk(chunk, size) || is_free(chunk)) break;
        set_free(chunk);
        chunk = next_of(chunk + 16, size, kOfChunk);
      }
    }
  }

  // tcache_perthread_struct (malloc/malloc.c): how many entries each list has, then where it begins.
  void mark_cache(std::uint64_t chunk, std::uint64_t size) {
    if (is_free(chunk)) return;
    // The caller may use 8 bytes of the next chunk too.
    std::array<std::byte, kTcacheSlots - 8> bytes{};
    if (size > kTcacheSlots || !memory_.copy(chunk + 16, std::span(bytes).first(size - 8))) return;
    const bool slots = size == kTcacheSlots;
    const std::size_t lists = slots ? 76 : 64;
    const std::size_t width = size == kTcacheBytes ? 1 : 2;
    std::vector<std::uint64_t> found;
    std::optional<std::size_t>
        capacity;  // from 2.42 on what is left is counted: with the list's length always the same
    for (std::size_t i = 0; i < lists; ++i) {
      std::uint16_t count = 0;
      std::uint64_t entry = 0;
      std::memcpy(&count, bytes.data() + i * width, width);
      std::memcpy(&entry, bytes.data() + lists * width + i * 8, 8);
      const std::uint64_t wanted = i < kSmallBins ? (i + 2) * 16 : 0;
      const auto length = follow(entry, wanted, found);
      if (!length) return;
      if (!slots && *length != count) return;
      if (slots && i < kSmallBins && capacity.value_or(count + *length) != count + *length) return;
      if (slots && i < kSmallBins) capacity = count + *length;
    }
    for (const std::uint64_t listed : found) set_free(listed);
  }

 private:
  MallocSegment* segment_of(std::uint64_t address) const {
    const auto after =
        std::upper_bound(segments_.begin(), segments_.end(), address,
                         [](std::uint64_t at, const MallocSegment& segment) { return at < segment.begin; });
    if (after == segments_.begin()) return nullptr;
    MallocSegment& segment = *std::prev(after);
    return address < segment.end ? &segment : nullptr;
  }

  // `size` 0: any.
  bool is_listed_chunk(std::uint64_t chunk, std::uint64_t size) const {
    const MallocSegment* const segment = segment_of(chunk);
    if (segment == nullptr || !segment->chunks.begins_at(chunk)) return false;
    if (size == 0) return true;
    const auto header = memory_.try_read<std::uint64_t>(chunk + 8);
    return header && (*header & ~7ull) == size;
  }
  bool is_free(std::uint64_t chunk) const {
    const MallocSegment* const segment = segment_of(chunk);
    return segment == nullptr || segment->chunks.is_free(chunk);
  }
  void set_free(std::uint64_t chunk) {
    if (MallocSegment* const segment = segment_of(chunk)) segment->chunks.set_free(chunk);
  }

  // The link at `at`: from 2.32 on it is hidden by the bits of its own address above the page. `shift`: how far behind
  // a chunk's begin such a link points. 0: the end, or neither reading leads to a chunk of the size.
  std::uint64_t next_of(std::uint64_t at, std::uint64_t size, std::uint64_t shift) const {
    const auto link = memory_.try_read<std::uint64_t>(at);
    if (!link || *link == 0 || *link == at >> 12) return 0;
    for (const std::uint64_t next : {*link ^ at >> 12, *link}) {
      if (next % 16 == 0 && next >= shift && is_listed_chunk(next - shift, size)) return next;
    }
    return 0;
  }

  // Length of a cache's list, whose chunks are added to `found`; empty when it is none.
  std::optional<std::size_t> follow(std::uint64_t entry, std::uint64_t size, std::vector<std::uint64_t>& found) const {
    std::size_t length = 0;
    while (entry != 0) {
      if (entry % 16 != 0 || length == kLongestList || !is_listed_chunk(entry - 16, size)) return std::nullopt;
      found.push_back(entry - 16);
      ++length;
      entry = next_of(entry, size, kOfUser);
    }
    return length;
  }

  const ProcessMemory& memory_;
  std::vector<MallocSegment>& segments_;
};

}  // namespace

void mark_listed_chunks(const ProcessMemory& memory, const std::vector<MallocArena>& arenas,
                        const std::vector<std::uint64_t>& tcache_sized, std::vector<MallocSegment>& segments) {
  ListMarker marker(memory, segments);
  for (const MallocArena& arena : arenas) {
    if (arena.has_fast_bins) marker.mark_fast_bins(arena);
  }
  for (const std::uint64_t chunk : tcache_sized) {
    const auto header = memory.try_read<std::uint64_t>(chunk + 8);
    if (header) marker.mark_cache(chunk, *header & ~7ull);
  }
}

}  // namespace memsnap
