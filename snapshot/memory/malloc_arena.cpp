#include "snapshot/memory/malloc_arena.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace memsnap {
namespace {

// malloc_state (malloc/malloc.c), 2.27 to 2.42: mutex, flags, have_fastchunks, 10 fast bins, top, last_remainder,
// bins, binmap, next, next_free, attached_threads, system_mem, max_system_mem. From 2.43 on there are no fast bins.
constexpr std::uint64_t kBinsWithFast = 112;
constexpr std::uint64_t kBinsWithoutFast = 24;
constexpr std::size_t kBins = 127;
constexpr std::uint64_t kBinsSize = kBins * 16;
constexpr std::uint64_t kNext = kBinsSize + 16;  // these from bins on
constexpr std::uint64_t kSystemMemory = kBinsSize + 40;
constexpr std::uint64_t kStateEnd = kBinsSize + 56;
constexpr int kBadBinsAllowed = 2;  // a thread was stopped while it moved a chunk

constexpr std::uint64_t kHeapAlignment = 64u << 20;
// sizeof(heap_info): to 2.34, and from 2.35 on.
constexpr std::array<std::uint64_t, 2> kHeapHeads{32, 48};
constexpr std::size_t kMaxArenas = 1u << 16;
constexpr std::uint64_t kMaxData = 64u << 20;

std::uint64_t word_at(const ProcessMemory& memory, std::uint64_t address) {
  return memory.try_read<std::uint64_t>(address).value_or(0);
}

bool is_writable(const MemoryMap& map, std::uint64_t address) {
  const Mapping* const mapping = map.find(address);
  return mapping != nullptr && mapping->writable && mapping->readable;
}

class ArenaFinder {
 public:
  ArenaFinder(const ProcessMemory& memory, const MemoryMap& map) : memory_(memory), map_(map) {}

  MallocArenas find(const std::vector<ElfImage::Section>& writable_data) {
    for (const ElfImage::Section& section : writable_data) scan_data(section);
    for (const Run& range : anonymous_ranges(map_)) scan_heaps(range);
    return std::move(found_);
  }

 private:
  // All bins are rings: an empty one refers to itself, the chunks at both ends of another refer back to it.
  bool bins_are_rings(std::uint64_t bins, std::span<const std::uint64_t> words) const {
    int bad = 0;
    for (std::size_t i = 0; i < kBins && bad <= kBadBinsAllowed; ++i) {
      const std::uint64_t bin = bins + 16 * i - 16;
      const std::uint64_t first = words[2 * i];
      const std::uint64_t last = words[2 * i + 1];
      if (first == bin && last == bin) continue;
      if (first == bin || last == bin || word_at(memory_, first + 24) != bin || word_at(memory_, last + 16) != bin) {
        ++bad;
      }
    }
    return bad <= kBadBinsAllowed;
  }

  std::optional<MallocArena> verified(std::uint64_t bins, std::uint64_t offset) const {
    std::array<std::uint64_t, kStateEnd / 8> words{};
    if (!memory_.copy(bins, std::as_writable_bytes(std::span(words)))) return std::nullopt;
    MallocArena arena{.address = bins - offset, .bins = bins, .top = word_at(memory_, bins - 16)};
    arena.has_fast_bins = offset == kBinsWithFast;
    const std::uint64_t size = word_at(memory_, arena.top + 8) & ~7ull;
    const std::uint64_t system_memory = words[kSystemMemory / 8];
    if (arena.top % 16 != 0 || !is_writable(map_, arena.top) || size < 16 || size % 16 != 0) return std::nullopt;
    if (size > system_memory || system_memory > words[kSystemMemory / 8 + 1]) return std::nullopt;
    if (!is_writable(map_, arena.top + size - 1)) return std::nullopt;
    if (!is_in_ring_of_arenas(arena.address, words[kNext / 8], offset)) return std::nullopt;
    if (!bins_are_rings(bins, words)) return std::nullopt;
    return arena;
  }

  // The arenas are a ring by their `next`.
  bool is_in_ring_of_arenas(std::uint64_t arena, std::uint64_t next, std::uint64_t offset) const {
    for (std::size_t i = 0; i < kMaxArenas && next != 0 && next % 8 == 0; ++i) {
      if (next == arena) return true;
      next = word_at(memory_, next + offset + kNext);
    }
    return false;
  }

  bool add(std::uint64_t bins, std::uint64_t offset, bool main) {
    for (const MallocArena& known : found_.arenas) {
      if (known.bins == bins) return true;
    }
    const auto arena = verified(bins, offset);
    if (!arena || found_.arenas.size() == kMaxArenas) return false;
    if (main) found_.main.push_back(found_.arenas.size());
    found_.arenas.push_back(*arena);
    return true;
  }

  void scan_data(const ElfImage::Section& section) {
    if (section.end <= section.begin || section.end - section.begin < kStateEnd) return;
    if (section.end - section.begin > kMaxData) return;
    std::vector<std::uint64_t> words((section.end - section.begin) / 8);
    if (!memory_.copy(section.begin, std::as_writable_bytes(std::span(words)))) return;
    for (std::size_t i = 0; i + kStateEnd / 8 <= words.size(); ++i) {
      const std::uint64_t bins = section.begin + 8 * i;
      // The last bin is never used.
      const std::uint64_t last = bins + kBinsSize - 32;
      if (words[i + 2 * kBins - 2] != last || words[i + 2 * kBins - 1] != last) continue;
      if (!add(bins, kBinsWithFast, true)) add(bins, kBinsWithoutFast, true);
    }
  }

  // heap_info: the arena, the arena's previous heap, size in use.
  void scan_heaps(const Run& range) {
    const std::uint64_t first = (range.begin + kHeapAlignment - 1) / kHeapAlignment * kHeapAlignment;
    for (std::uint64_t at = first; at < range.end; at += kHeapAlignment) {
      std::array<std::uint64_t, 3> head{};
      if (!memory_.copy(at, std::as_writable_bytes(std::span(head)))) continue;
      const std::uint64_t arena = head[0];
      const std::uint64_t own_heap = arena / kHeapAlignment * kHeapAlignment;
      const bool known_head = std::count(kHeapHeads.begin(), kHeapHeads.end(), arena - own_heap) != 0;
      if (!known_head || head[2] < 4096 || head[2] > kHeapAlignment || at + head[2] > range.end) continue;
      if (word_at(memory_, own_heap) != arena) continue;
      if (!add(arena + kBinsWithFast, kBinsWithFast, false) && !add(arena + kBinsWithoutFast, kBinsWithoutFast, false))
        continue;
      for (std::size_t i = 0; i < found_.arenas.size(); ++i) {
        const MallocArena& known = found_.arenas[i];
        if (known.address != arena) continue;
        const std::uint64_t chunks = own_heap == at ? known.end() : at + (arena - own_heap);
        found_.heaps.push_back({at, head[2], (chunks + 15) / 16 * 16, i});
      }
    }
  }

  const ProcessMemory& memory_;
  const MemoryMap& map_;
  MallocArenas found_;
};

}  // namespace

std::uint64_t MallocArena::end() const { return bins + kStateEnd; }

bool is_anonymous(const Mapping& mapping) {
  if (!mapping.readable || !mapping.writable || mapping.shared || mapping.inode != 0) return false;
  return mapping.name.empty() || mapping.name == "[heap]" || mapping.name.starts_with("[anon:");
}

std::vector<Run> anonymous_ranges(const MemoryMap& map) {
  std::vector<Run> ranges;
  for (const Mapping& mapping : map.mappings()) {
    if (!is_anonymous(mapping)) continue;
    if (!ranges.empty() && ranges.back().end == mapping.begin) {
      ranges.back().end = mapping.end;
    } else {
      ranges.push_back({mapping.begin, mapping.end});
    }
  }
  return ranges;
}

MallocArenas find_arenas(const ProcessMemory& memory, const MemoryMap& map,
                         const std::vector<ElfImage::Section>& writable_data) {
  return ArenaFinder(memory, map).find(writable_data);
}

}  // namespace memsnap
