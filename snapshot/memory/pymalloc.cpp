#include "snapshot/memory/pymalloc.h"

#include <algorithm>
#include <array>
#include <span>
#include <unordered_set>

#include "snapshot/memory/malloc_arena.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMaxPlaces = 64u << 20;
constexpr std::size_t kMaxTable = 1u << 22;
constexpr std::size_t kMaxArenas = 1u << 20;   // a TiB of them
constexpr std::size_t kMaxBatches = 1u << 19;  // behind the first ones: forged tables may overlap without end
constexpr std::size_t kFirstTable = 16;        // INITIAL_ARENA_OBJECTS

// struct arena_object; the same since 2.5.
struct ArenaObject {
  std::uint64_t address, pool_address;
  std::uint32_t free_pools, total_pools;
  std::uint64_t freepools, nextarena, prevarena;
};
static_assert(sizeof(ArenaObject) == 48);

// struct pool_header.
struct PoolHeader {
  std::uint64_t used_blocks, free_block, next, previous;
  std::uint32_t arena_index, size_index, next_offset, max_next_offset;
};
static_assert(sizeof(PoolHeader) == 48);
constexpr std::uint32_t kSizes = 32;  // of blocks: 16, 32 ... 512

// To 3.9; from 3.10 on; when built for huge pages (3.15).
struct Form {
  std::uint32_t arena_size, pool_size;
};
constexpr std::array<Form, 4> kForms{{{256u << 10, 4096}, {1u << 20, 16384}, {2u << 20, 16384}, {1u << 20, 4096}}};

class TableFinder {
  using Batch = std::array<ArenaObject, kFirstTable>;

 public:
  TableFinder(const ProcessMemory& memory, const ProcessMemory& cached, const MemoryMap& map)
      : memory_(memory), cached_(cached), ranges_(anonymous_ranges(map)) {}

  // Looks at each word of `place` as if it were `static struct arena_object* arenas`.
  void search(const ElfImage::Section& place) {
    if (place.end <= place.begin || place.end - place.begin > kMaxPlaces) return;
    std::vector<std::uint64_t> words((place.end - place.begin) / 8);
    if (!memory_.copy(place.begin, std::as_writable_bytes(std::span(words)))) return;
    for (const std::uint64_t word : words) {
      if (word == 0 || word % 16 != 0 || !in_anonymous(word, sizeof(Batch)) || !tables_.insert(word).second) continue;
      for (const Form& form : kForms) {
        if (read_table(word, form)) break;
      }
    }
  }

  std::vector<PymallocArena> arenas() {
    std::sort(found_.begin(), found_.end(),
              [](const PymallocArena& a, const PymallocArena& b) { return a.address < b.address; });
    return std::move(found_);
  }

 private:
  bool in_anonymous(std::uint64_t begin, std::uint64_t size) const {
    const Run* const range = range_at(ranges_, begin);
    return range != nullptr && size <= range->end - begin;
  }

  bool fits(const ArenaObject& entry, const Form& form) const {
    const std::uint64_t end = entry.address + form.arena_size;
    const std::uint32_t pools = form.arena_size / form.pool_size - (entry.address % form.pool_size == 0 ? 0 : 1);
    return entry.address % kPage == 0 && entry.pool_address >= entry.address && entry.pool_address <= end &&
           entry.pool_address % form.pool_size == 0 && entry.total_pools == pools && entry.free_pools <= pools &&
           in_anonymous(entry.address, form.arena_size);
  }

  // 64 pools of 4 KiB and 64 of 16 KiB look alike in the table.
  bool first_pool_fits(const ArenaObject& entry, const Form& form) const {
    const PymallocArena arena{entry.address, entry.pool_address, form.arena_size, form.pool_size};
    if (arena.first_pool() >= arena.unused) return true;
    const auto header = memory_.try_read<PoolHeader>(arena.first_pool());
    if (!header) return false;
    return header->size_index >= kSizes || header->max_next_offset == form.pool_size - (header->size_index + 1) * 16;
  }

  // How long the table is is not known: it ends with the first entry that is none.
  bool read_table(std::uint64_t table, const Form& form) {
    const std::size_t before = found_.size();
    Batch entries;
    for (std::size_t read = 0; read < kMaxTable; read += entries.size()) {
      const std::uint64_t at = table + read * sizeof(ArenaObject);
      if (!in_anonymous(at, sizeof(entries)) || !cached_.copy(at, std::as_writable_bytes(std::span(entries)))) break;
      if (read != 0 && (++batches_ > kMaxBatches || found_.size() > kMaxArenas)) break;
      for (const ArenaObject& entry : entries) {
        const bool unused = entry.address == 0 && (entry.nextarena == 0 || is_entry(entry.nextarena, table));
        if (!unused && !(fits(entry, form) && first_pool_fits(entry, form))) {
          // The first batch is there whole, or this is no table.
          if (read == 0) found_.resize(before);
          return found_.size() > before;
        }
        if (!unused) found_.push_back({entry.address, entry.pool_address, form.arena_size, form.pool_size});
      }
    }
    return found_.size() > before;
  }

  static bool is_entry(std::uint64_t address, std::uint64_t table) {
    return address >= table && (address - table) % sizeof(ArenaObject) == 0 &&
           (address - table) / sizeof(ArenaObject) < kMaxTable;
  }

  const ProcessMemory& memory_;
  const ProcessMemory& cached_;
  std::vector<Run> ranges_;
  std::unordered_set<std::uint64_t> tables_;
  std::size_t batches_ = 0;
  std::vector<PymallocArena> found_;
};

}  // namespace

std::vector<PymallocArena> find_pymalloc_arenas(const ProcessMemory& memory, const ProcessMemory& cached,
                                                const MemoryMap& map, const std::vector<ElfImage::Section>& places) {
  TableFinder finder(memory, cached, map);
  for (const ElfImage::Section& place : places) finder.search(place);
  std::vector<PymallocArena> arenas = finder.arenas();
  // Two tables cannot share an arena: the second one is forged or stale.
  std::uint64_t end = 0;
  std::erase_if(arenas, [&end](const PymallocArena& arena) {
    if (arena.address < end) return true;
    end = arena.end();
    return false;
  });
  return arenas;
}

std::optional<PymallocPool> read_pool(const ProcessMemory& memory, const PymallocArena& arena, std::uint64_t pool) {
  const auto header = memory.try_read<PoolHeader>(pool);
  if (!header || header->size_index >= kSizes) return std::nullopt;
  const std::uint32_t block = (header->size_index + 1) * 16;
  const std::uint32_t capacity = (arena.pool_size - static_cast<std::uint32_t>(sizeof(PoolHeader))) / block;
  const auto used = static_cast<std::uint32_t>(header->used_blocks);  // the upper half is padding
  if (used > capacity) return std::nullopt;
  if (used != 0 && (header->max_next_offset != arena.pool_size - block || header->next_offset < sizeof(PoolHeader) ||
                    (header->next_offset - sizeof(PoolHeader)) % block != 0)) {
    return std::nullopt;
  }
  return PymallocPool{block, used};
}

PymallocUse measure_arena(const ProcessMemory& memory, const PymallocArena& arena, const ResidentPages& resident) {
  PymallocUse use;
  use.arenas = 1;
  use.resident = resident.bytes(arena.address, arena.end());
  const bool whole = use.resident == arena.arena_size;
  std::uint64_t made = 0;  // resident bytes of pools with blocks in use
  for (std::uint64_t pool = arena.first_pool(); pool + arena.pool_size <= std::min(arena.unused, arena.end());
       pool += arena.pool_size) {
    const std::uint64_t bytes = whole ? arena.pool_size : resident.bytes(pool, pool + arena.pool_size);
    if (bytes == 0) continue;
    const auto header = read_pool(memory, arena, pool);
    if (!header) ++use.damaged;
    const std::uint64_t used = header ? header->used_bytes() : bytes;
    use.used += std::min(used, bytes);
    if (used != 0) made += bytes;
  }
  use.unused_pools = use.resident - made;
  return use;
}

}  // namespace memsnap
