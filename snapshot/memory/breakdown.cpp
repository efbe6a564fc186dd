#include "snapshot/memory/breakdown.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include "attach/child_memory.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/memory/foreign_malloc.h"
#include "snapshot/memory/malloc_arena.h"
#include "snapshot/memory/malloc_heap.h"
#include "snapshot/memory/pymalloc.h"
#include "snapshot/memory/python_blocks.h"
#include "snapshot/memory/thread_stacks.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kInterpreterSize = 1u << 20;  // more than sizeof(PyInterpreterState) of any release
constexpr std::uint64_t kFreeHeader = 48;             // what malloc_trim leaves of a free chunk

// In the order of kMemoryParts.
enum Part : std::uint8_t { kObjects, kPymallocFree, kInUse, kFree, kStacks, kFiles, kShared, kHuge, kOther, kParts };
static_assert(kMemoryParts.size() == kParts);

// Memory that other processes may use too and that no file on a disk is behind.
bool is_shared_memory(const Mapping& mapping) {
  return mapping.shared && (mapping.name.starts_with("/dev/zero") || mapping.name.starts_with("/SYSV") ||
                            mapping.name.starts_with("/memfd:") || mapping.name.starts_with("/dev/shm/") ||
                            mapping.name.starts_with("[anon_shmem") || mapping.inode == 0);
}

class Breakdown {
 public:
  Breakdown(const ProcessMemory& memory, const ProcessMemory& cached, const MemoryMap& map, const PythonProcess& python,
            const HeapGraph& graph, const ResidentPages& resident)
      : memory_(memory), cached_(cached), map_(map), python_(python), graph_(graph), resident_(resident) {}

  MallocUse run(const std::vector<std::unique_ptr<ElfImage>>& images, MemoryTotals& totals) {
    interpreters_ = read_interpreters(cached_, python_);
    std::vector<ElfImage::Section> data;
    for (const auto& image : images) {
      for (const ElfImage::Section& segment : image->writable_segments()) {
        data.push_back(segment);
        image_data_.push_back({segment.begin, segment.end});
      }
    }
    image_data_ = merged(std::move(image_data_));
    arenas_ = find_pymalloc_arenas(memory_, cached_, map_, places_of_arena_tables(data));
    std::vector<Run> known;
    for (const PymallocArena& arena : arenas_) known.push_back({arena.address, arena.end()});
    heaps_ = find_malloc_heaps(memory_, cached_, map_, data, &resident_, known);
    find_stacks(known);
    blocks_ = find_python_blocks(cached_, graph_, heaps_, arenas_, gaps_);
    count_arenas(totals);
    count_chunks(totals);
    count_stacks();
    count_gaps();
    count_files();
    move_padding();
    finish(images, totals);
    return {std::move(heaps_), std::move(blocks_), std::move(arenas_)};
  }

 private:
  void add(Part part, std::uint64_t bytes) { bytes_.at(part) += bytes; }

  // Variables of the image that holds CPython, and the state of interpreters that are not the main one, which is there.
  std::vector<ElfImage::Section> places_of_arena_tables(const std::vector<ElfImage::Section>& data) {
    std::vector<ElfImage::Section> places;
    std::copy_if(data.begin(), data.end(), std::back_inserter(places), [this](const ElfImage::Section& segment) {
      const Mapping* const mapping = map_.find(segment.begin);
      return (python_.runtime >= segment.begin && python_.runtime < segment.end) ||
             (mapping != nullptr && mapping->name == python_.image);
    });
    for (const InterpreterState& interpreter : interpreters_.interpreters) {
      const Mapping* const mapping = map_.find(interpreter.address);
      const bool is_static = std::any_of(places.begin(), places.end(), [&](const ElfImage::Section& place) {
        return interpreter.address >= place.begin && interpreter.address < place.end;
      });
      if (mapping == nullptr || is_static) continue;
      const std::uint64_t end = std::min(mapping->end, interpreter.address + kInterpreterSize);
      places.push_back({interpreter.address, end});
      add_own_states(interpreter.address, end, places);
    }
    return places;
  }

  // From 3.13 on the allocator's state of such an interpreter is a block of its own. It begins with a ring of pools for
  // each size of block: what a ring's head points to, be it the head itself, points back.
  void add_own_states(std::uint64_t begin, std::uint64_t end, std::vector<ElfImage::Section>& places) const {
    constexpr std::size_t kRings = 32;
    constexpr std::uint64_t kPrevious = 24;  // in a pool's header
    std::vector<std::uint64_t> words((end - begin) / 8);
    if (!memory_.copy(begin, std::as_writable_bytes(std::span(words)))) return;
    const std::vector<Run> anonymous = anonymous_ranges(map_);
    for (const std::uint64_t word : words) {
      if (word == 0 || word % 16 != 0 || range_at(anonymous, word) == nullptr) continue;
      const auto rings = cached_.try_read<std::array<std::uint64_t, 2 * kRings>>(word);
      std::size_t whole = 0;
      for (; rings && whole < kRings; ++whole) {
        const std::uint64_t head = word + 16 * whole - 16;
        const std::uint64_t pool = rings->at(2 * whole);
        if (pool != head && (pool % kPage != 0 || cached_.try_read<std::uint64_t>(pool + kPrevious) != head)) break;
      }
      if (whole == kRings) places.push_back({word + 16 * kRings, word + 16 * kRings + 8});
    }
  }

  // What of anonymous memory neither of the allocators has, and of that what is stacks.
  void find_stacks(const std::vector<Run>& arenas) {
    std::vector<Run> taken = arenas;
    for (const MallocSegment& segment : heaps_.segments()) taken.push_back({segment.head, segment.end});
    taken = merged(std::move(taken));
    const std::vector<Run> anonymous = anonymous_ranges(map_);
    const std::vector<Run> free = subtract(subtract(anonymous, taken), image_data_);
    std::vector<std::uint64_t> ids;
    std::vector<std::uint64_t> states;
    for (const InterpreterState& interpreter : interpreters_.interpreters) {
      for (const ThreadState& thread : interpreter.threads) {
        ids.push_back(thread.thread_id);
        states.push_back(thread.address);
      }
    }
    stacks_ = find_thread_stacks(cached_, free, ids);
    const auto frames = find_frame_stacks(cached_, free, states, python_.layout.thread.size);
    stacks_.insert(stacks_.end(), frames.begin(), frames.end());
    stacks_ = merged(std::move(stacks_));
    gaps_ = subtract(free, stacks_);
    bss_ = common(subtract(anonymous, taken), image_data_);
  }

  void count_arenas(MemoryTotals& totals) {
    for (const PymallocArena& arena : arenas_) {
      const PymallocUse use = measure_arena(memory_, arena, resident_);
      totals.pymalloc_resident += use.resident;
      totals.damaged += use.damaged;
      add(kObjects, use.used);
      add(kPymallocFree, use.resident - use.used);
      note_idle(kPymallocFree, arena.unused, arena.end());
    }
    totals.pymalloc_arenas = arenas_.size();
  }

  void count_chunks(MemoryTotals& totals) {
    ResidentPages::Cursor pages(resident_);
    std::size_t node = 0;
    auto block = blocks_.chunks.begin();
    auto arena = arenas_.begin();
    for (const MallocSegment& segment : heaps_.segments()) {
      add(kInUse, resident_.bytes(segment.head, segment.begin));
      MallocHeaps::for_each_chunk_of(segment, [&](const MallocChunk& chunk) {
        std::uint64_t bytes = pages.bytes(chunk.address, chunk.end());
        // Arenas may come from malloc, where a program says so.
        for (; arena != arenas_.end() && arena->address < chunk.end(); ++arena) {
          if (arena->address >= chunk.address) bytes -= std::min(bytes, resident_.bytes(arena->address, arena->end()));
        }
        if (!chunk.in_use()) {
          add(kFree, bytes);
          if (chunk.size > kPage) totals.trimmable += note_idle(kFree, chunk.address + kFreeHeader, chunk.end());
          return;
        }
        while (node < graph_.node_count() && graph_.address[node] < chunk.address) ++node;
        while (block != blocks_.chunks.end() && *block < chunk.address) ++block;
        const bool owned = block != blocks_.chunks.end() && *block == chunk.address;
        if (owned || (node < graph_.node_count() && graph_.address[node] < chunk.end())) return add(kObjects, bytes);
        add(kInUse, bytes);
        ++totals.native_blocks;
      });
    }
    totals.damaged += heaps_.damaged();
  }

  void count_stacks() {
    for (const Run& stack : stacks_) {
      add(kStacks, resident_.bytes(stack.begin, stack.end));
      note_idle(kStacks, stack.begin, stack.end);
    }
  }

  // Objects in memory of an allocator that is not known have sizes all the same.
  void count_gaps() {
    const std::vector<Run> objects = common(gaps_, merged(std::move(blocks_.elsewhere)));
    for (const Run& range : objects) add(kObjects, resident_.bytes(range.begin, range.end));
    for (const Run& range : subtract(gaps_, objects)) note_idle(kOther, range.begin, range.end);
    for (const Run& range : bss_) add(kFiles, resident_.bytes(range.begin, range.end));
  }

  void count_files() {
    for (const Mapping& mapping : map_.mappings()) {
      if (is_anonymous(mapping)) continue;
      const std::uint64_t bytes = resident_.bytes(mapping.begin, mapping.end);
      if (mapping.name.starts_with("[stack")) {
        add(kStacks, bytes);
      } else if (is_shared_memory(mapping)) {
        add(kShared, bytes);
      } else if (mapping.inode != 0 || mapping.name == "[vdso]") {
        add(kFiles, bytes);
      }
    }
  }

  // Whole pages in which nothing is stored: where they lie in a huge page they may never have been touched. Gives
  // their resident bytes.
  std::uint64_t note_idle(Part part, std::uint64_t begin, std::uint64_t end) {
    begin = (begin + kPage - 1) / kPage * kPage;
    end = end / kPage * kPage;
    if (begin >= end) return 0;
    if (!resident_.huge().empty()) idle_.push_back({part, {begin, end}});
    return resident_.bytes(begin, end);
  }

  // Padding is what was never written: the kernel gave the process 2 MiB where it asked for a page.
  void move_padding() {
    std::array<std::byte, kPage> page{};
    const std::array<std::byte, kPage> zero{};
    for (const auto& [part, range] : idle_) {
      for (const Run& run : common(std::span(&range, 1), resident_.huge())) {
        for (std::uint64_t at = run.begin; at + kPage <= run.end; at += kPage) {
          if (resident_.bytes(at, at + kPage) == 0 || !memory_.copy(at, page) || page != zero) continue;
          add(kHuge, kPage);
          if (part != kOther) bytes_.at(part) -= std::min(bytes_.at(part), kPage);
        }
      }
    }
  }

  void finish(const std::vector<std::unique_ptr<ElfImage>>& images, MemoryTotals& totals) {
    std::uint64_t sum = 0;
    for (const std::uint64_t bytes : bytes_) sum += bytes;
    add(kOther, resident_.total() - std::min(resident_.total(), sum));
    for (std::size_t i = 0; i < kParts; ++i) {
      if (i != kHuge || bytes_.at(i) != 0) totals.parts.push_back({kMemoryParts.at(i), bytes_.at(i)});
    }
    totals.allocator = foreign_malloc(images);
    if (totals.allocator.empty() && heaps_.arenas() != 0) totals.allocator = "glibc";
  }

  struct Idle {
    Part part = kOther;
    Run range{};
  };

  const ProcessMemory& memory_;  // nothing in front: for large pieces, and for words far from each other
  const ProcessMemory& cached_;
  const MemoryMap& map_;
  const PythonProcess& python_;
  const HeapGraph& graph_;
  const ResidentPages& resident_;
  InterpreterList interpreters_;
  std::vector<PymallocArena> arenas_;
  MallocHeaps heaps_;
  std::vector<Run> stacks_;
  std::vector<Run> gaps_;        // anonymous memory of which nothing is known
  std::vector<Run> image_data_;  // of programs and libraries
  std::vector<Run> bss_;         // the anonymous part of that
  PythonBlocks blocks_;
  std::vector<Idle> idle_;
  std::array<std::uint64_t, kParts> bytes_{};
};

}  // namespace

MallocUse account_for_memory(const FrozenProcess& frozen, FrozenChild* child, const PythonProcess& python,
                             const std::vector<std::unique_ptr<ElfImage>>& images, const HeapGraph& graph,
                             const ResidentPages& resident, MemoryTotals& totals) {
  std::optional<ChildMemory> direct;
  if (child != nullptr) direct.emplace(child->pid(), frozen.map());
  const ProcessMemory& memory = direct ? static_cast<const ProcessMemory&>(*direct) : frozen.memory();
  return Breakdown(memory, frozen.memory(), frozen.map(), python, graph, resident).run(images, totals);
}

}  // namespace memsnap
