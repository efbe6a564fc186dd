#include "snapshot/memory/python_blocks.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

namespace memsnap {
namespace {

// pymalloc takes blocks up to 512 bytes: whatever is larger, with the words its debug form adds, is malloc's.
constexpr std::uint64_t kSmallest = 448;
constexpr std::uint64_t kHead = 16;  // GC head or chunk header
constexpr std::size_t kBodyWords = 128;
// What malloc may give beyond what was asked for: the rest of a page where the block has a mapping of its own.
constexpr std::uint64_t kSlack = 4096 + 64;
constexpr std::uint64_t kOwnMapping = 64u << 10;
constexpr std::uint64_t kDequeBlock = 528;  // of collections.deque: 64 items between two links
constexpr std::uint64_t kDequeLeft = 24;
constexpr std::uint64_t kDequeRightLink = 520;

class BlockFinder {
 public:
  BlockFinder(const ProcessMemory& memory, const HeapGraph& graph, const MallocHeaps& heaps,
              const std::vector<PymallocArena>& arenas, std::span<const Run> gaps)
      : memory_(memory), graph_(graph), heaps_(heaps), arenas_(arenas), gaps_(gaps) {}

  PythonBlocks find() {
    std::size_t arena = 0;
    for (NodeIndex node = 0; node < graph_.node_count(); ++node) {
      if (!graph_.is_object(node)) continue;
      const std::uint64_t address = graph_.address[node];
      while (arena < arenas_.size() && arenas_[arena].end() <= address) ++arena;
      const bool in_arena = arena < arenas_.size() && arenas_[arena].address <= address;
      if (in_arena && graph_.size[node] < kSmallest) continue;
      look_at(node, in_arena);
    }
    std::sort(found_.chunks.begin(), found_.chunks.end());
    found_.chunks.erase(std::unique(found_.chunks.begin(), found_.chunks.end()), found_.chunks.end());
    return std::move(found_);
  }

 private:
  void look_at(NodeIndex node, bool is_in_arena) {
    const std::uint64_t address = graph_.address[node];
    const std::uint64_t size = graph_.size[node];
    std::optional<MallocChunk> own;
    if (!is_in_arena) {
      own = heaps_.find(address);
      if (own) found_.chunks.push_back(own->address);
    }
    const std::uint64_t body = body_of(node);
    std::uint64_t outside = 0;  // of blocks elsewhere
    if (size > body && (size >= kSmallest || arenas_.empty())) outside = add_owned(address, body, size - body + kSlack);
    if (!is_in_arena && !own && range_at(gaps_, address) != nullptr) {
      const std::uint64_t here = outside != 0 ? body : size;
      found_.elsewhere.push_back({address - kHead, address + std::max(here, kHead) - kHead});
    }
  }

  std::uint64_t body_of(NodeIndex node) const {
    const TypeId type = graph_.type[node];
    const std::uint64_t basic = type < graph_.types.size() ? graph_.types[type].basic_size : 0;
    return std::clamp<std::uint64_t>(basic, 32, kBodyWords * 8);
  }

  // Blocks that the object's own words point to, up to `budget` bytes; how many of them are not malloc's.
  std::uint64_t add_owned(std::uint64_t object, std::uint64_t body, std::uint64_t budget) {
    std::array<std::uint64_t, kBodyWords> words{};
    const auto fields = std::span(words).first(body / 8);
    if (!memory_.copy(object, std::as_writable_bytes(fields))) return 0;
    std::uint64_t elsewhere = 0;
    for (std::size_t i = 2; i < fields.size(); ++i) {
      const std::uint64_t pointer = fields[i];
      if (pointer % 8 != 0 || pointer < 4096 || pointer >> 47 != 0) continue;
      if (add_chunk(pointer, budget)) {
        if (i == kDequeLeft / 8 && fields.size() > i + 1) add_deque(pointer, fields[i + 1], budget);
      } else if (budget > kSlack + kSmallest && range_at(gaps_, pointer) != nullptr &&
                 graph_.find(pointer) == kNoNode) {
        found_.elsewhere.push_back({pointer, pointer + budget - kSlack});
        elsewhere = budget - kSlack;
        budget = kSlack;
      }
    }
    return elsewhere;
  }

  bool add_chunk(std::uint64_t pointer, std::uint64_t& budget) {
    const auto chunk = heaps_.find(pointer);
    if (!chunk || !chunk->in_use() || chunk->size > budget) return false;
    // The debug hooks put two words in front of the block; one with a mapping of its own may be aligned.
    const std::uint64_t lead = chunk->size > kOwnMapping ? kSlack : 3 * kHead;
    if (pointer - chunk->address < kHead || pointer - chunk->address > lead) return false;
    found_.chunks.push_back(chunk->address);
    budget -= chunk->size;
    return true;
  }

  void add_deque(std::uint64_t left, std::uint64_t right, std::uint64_t& budget) {
    for (std::uint64_t block = left; block != right && budget >= kDequeBlock;) {
      const auto next = memory_.try_read<std::uint64_t>(block + kDequeRightLink);
      if (!next || !add_chunk(*next, budget)) return;
      block = *next;
    }
  }

  const ProcessMemory& memory_;
  const HeapGraph& graph_;
  const MallocHeaps& heaps_;
  const std::vector<PymallocArena>& arenas_;
  std::span<const Run> gaps_;
  PythonBlocks found_;
};

}  // namespace

PythonBlocks find_python_blocks(const ProcessMemory& memory, const HeapGraph& graph, const MallocHeaps& heaps,
                                const std::vector<PymallocArena>& arenas, std::span<const Run> gaps) {
  return BlockFinder(memory, graph, heaps, arenas, gaps).find();
}

}  // namespace memsnap
