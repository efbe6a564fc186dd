#include "snapshot/memory/native_blocks.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "snapshot/memory/native_owners.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kHeader = 16;      // before what malloc's caller was given
constexpr std::uint64_t kPoolHeader = 48;  // struct pool_header, and two fields of it
constexpr std::uint64_t kFreeBlock = 8;
constexpr std::uint64_t kNextOffset = 40;
constexpr std::uint64_t kMostLead = 64;
constexpr std::uint64_t kMostFields = 64u << 10;
constexpr std::size_t kPiece = 64u << 10;
constexpr std::uint64_t kMostBlocks = std::numeric_limits<std::uint32_t>::max() - 16;
constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

// Types without C fields of their own, or with such as their size has.
constexpr std::array<std::string_view, 38> kKnown{"NoneType",
                                                  "bool",
                                                  "int",
                                                  "float",
                                                  "complex",
                                                  "str",
                                                  "bytes",
                                                  "bytearray",
                                                  "tuple",
                                                  "list",
                                                  "dict",
                                                  "set",
                                                  "frozenset",
                                                  "type",
                                                  "function",
                                                  "builtin_function_or_method",
                                                  "code",
                                                  "cell",
                                                  "method",
                                                  "method_descriptor",
                                                  "wrapper_descriptor",
                                                  "getset_descriptor",
                                                  "member_descriptor",
                                                  "classmethod_descriptor",
                                                  "method-wrapper",
                                                  "classmethod",
                                                  "staticmethod",
                                                  "property",
                                                  "slice",
                                                  "range",
                                                  "generator",
                                                  "coroutine",
                                                  "async_generator",
                                                  "frame",
                                                  "traceback",
                                                  "mappingproxy",
                                                  "weakref",
                                                  "ellipsis"};

bool is_known(std::string_view type) {
  constexpr std::string_view kBuiltins = "builtins.";
  if (!type.starts_with(kBuiltins)) return false;
  return std::find(kKnown.begin(), kKnown.end(), type.substr(kBuiltins.size())) != kKnown.end();
}

// The blocks there are: malloc's that hold no Python object, and those of pymalloc that a pointer leads to. Each has a
// number, malloc's in ascending order of address before all others.
class BlockTable {
 public:
  BlockTable(const ProcessMemory& cached, const HeapGraph& graph, const MallocHeaps& heaps, const PythonBlocks& python,
             const std::vector<PymallocArena>& arenas)
      : cached_(cached), arenas_(arenas) {
    list_blocks(heaps, python);
    mark_objects(graph);
  }

  // The end is the header of the next chunk, to which malloc's own lists point, in memory that was free before.
  static bool is_inside(std::uint64_t offset, std::uint64_t size) { return offset + kHeader < size; }

  // The block that a pointer leads into; the last 8 bytes of a chunk are its successor's header, and the block's too.
  std::uint32_t malloc_block_at(std::uint64_t pointer) const {
    if (listed_ == 0 || pointer < begin_.front() || pointer >= begin_[listed_ - 1] + size_[listed_ - 1]) return kNone;
    const auto end = begin_.begin() + static_cast<std::ptrdiff_t>(listed_);
    const auto after = std::upper_bound(begin_.begin(), end, pointer);
    if (after == begin_.begin()) return kNone;
    const auto index = static_cast<std::uint32_t>(after - begin_.begin() - 1);
    return is_inside(pointer - begin_[index], size_[index]) ? index : kNone;
  }

  // A small block that no object is in.
  std::uint32_t small_block_at(std::uint64_t pointer) {
    const std::size_t arena = arena_at(pointer);
    if (arena == arenas_.size() || is_object(arena, pointer) || begin_.size() >= kMostBlocks) return kNone;
    const std::uint64_t pool = pointer / arenas_[arena].pool_size * arenas_[arena].pool_size;
    const auto header = read_pool(cached_, arenas_[arena], pool);
    if (!header || header->used == 0 || pointer < pool + kPoolHeader) return kNone;
    const std::uint64_t size = header->block_size;
    const std::uint64_t begin = pool + kPoolHeader + (pointer - pool - kPoolHeader) / size * size;
    if (pointer - begin > kMostLead) return kNone;
    if (begin + size > pool + arenas_[arena].pool_size || is_free(pool, *header, begin)) return kNone;
    for (std::uint64_t at = begin; at < begin + size; at += 16) {
      if (is_object(arena, at)) return kNone;
    }
    const auto [place, is_new] = small_.try_emplace(begin, static_cast<std::uint32_t>(begin_.size()));
    if (is_new) {
      begin_.push_back(begin);
      size_.push_back(size);
    }
    return place->second;
  }

  std::size_t count() const { return begin_.size(); }
  std::size_t listed() const { return listed_; }  // malloc's
  std::uint64_t begin(std::uint32_t block) const { return begin_[block]; }
  std::uint64_t size(std::uint32_t block) const { return size_[block]; }
  std::uint64_t bytes_inside(std::uint32_t block) const {
    return block < listed_ ? size_[block] - kHeader / 2 : size_[block];
  }

 private:
  void list_blocks(const MallocHeaps& heaps, const PythonBlocks& python) {
    auto taken = python.chunks.begin();
    heaps.for_each_chunk([&](const MallocChunk& chunk) {
      while (taken != python.chunks.end() && *taken < chunk.address) ++taken;
      const bool is_python = taken != python.chunks.end() && *taken == chunk.address;
      if (!chunk.in_use() || is_python || chunk.size <= kHeader || begin_.size() >= kMostBlocks) return;
      begin_.push_back(chunk.address + kHeader);
      size_.push_back(chunk.size);
    });
    listed_ = begin_.size();
  }

  // One bit for each 16 bytes of an arena.
  void mark_objects(const HeapGraph& graph) {
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

  // Free blocks of a pool are a list; those behind next_offset were never used.
  bool is_free(std::uint64_t pool, const PymallocPool& header, std::uint64_t block) {
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

  bool is_object(std::size_t arena, std::uint64_t address) const {
    return !objects_[arena].empty() && address < arenas_[arena].end() &&
           objects_[arena][(address - arenas_[arena].address) / 16];
  }

  std::size_t arena_at(std::uint64_t pointer) const {
    const auto after =
        std::upper_bound(arenas_.begin(), arenas_.end(), pointer,
                         [](std::uint64_t at, const PymallocArena& arena) { return at < arena.address; });
    if (after == arenas_.begin() || pointer >= std::prev(after)->end()) return arenas_.size();
    return static_cast<std::size_t>(after - arenas_.begin() - 1);
  }

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

// Finds all blocks that objects lead to, with every link between them.
class NativeSearch {
 public:
  NativeSearch(const ProcessMemory& memory, const ProcessMemory& cached, const HeapGraph& graph, BlockTable& blocks)
      : memory_(memory), cached_(cached), graph_(graph), blocks_(blocks) {}

  NativeBlocks run() {
    scan_objects();
    for (std::size_t next = 0; next < queue_.size(); ++next) scan_block(queue_[next]);
    return result();
  }

 private:
  void scan_objects() {
    std::vector<std::uint32_t> fields;  // bytes to look at in an object of each type
    std::vector<bool> is_module;
    for (const TypeEntry& type : graph_.types) {
      const std::string_view name = graph_.strings.text(type.name);
      const bool known = is_known(name);
      is_module.push_back(name == "builtins.module");
      fields.push_back(known ? 0 : static_cast<std::uint32_t>(std::min<std::uint64_t>(type.basic_size, kMostFields)));
    }
    for (NodeIndex node = 0; node < graph_.node_count(); ++node) {
      if (!graph_.is_object(node) || graph_.type[node] >= fields.size()) continue;
      const std::uint32_t size = fields[graph_.type[node]];
      if (size <= kHeader) continue;
      words_.resize((size - kHeader) / 8);
      if (!cached_.copy(graph_.address[node] + kHeader, std::as_writable_bytes(std::span(words_)))) continue;
      found_.clear();
      // What the object's size has beyond its fields may be in small blocks, which are not to be counted twice.
      collect(words_, graph_.size[node] <= size + kHeader);
      auto& links = is_module[graph_.type[node]] ? links_.from_module : links_.from_object;
      for (const std::uint32_t block : unique_found()) links.emplace_back(node, block);
    }
  }

  void scan_block(std::uint32_t block) {
    const std::uint64_t size = blocks_.bytes_inside(block);
    const ProcessMemory& source = size < kPiece ? cached_ : memory_;
    found_.clear();
    std::size_t pointers = 0;
    for (std::uint64_t at = 0; at + 8 <= size; at += kPiece) {
      words_.resize(std::min<std::uint64_t>(kPiece, size - at) / 8);
      if (source.copy(blocks_.begin(block) + at, std::as_writable_bytes(std::span(words_)))) {
        pointers += collect(words_, true);
      }
    }
    if (block >= links_.density.size()) links_.density.resize(blocks_.count());
    links_.density[block] = static_cast<float>(pointers) * 8 / static_cast<float>(size);
    for (const std::uint32_t target : unique_found()) links_.from_block.emplace_back(block, target);
  }

  // Returns how many words were pointers into blocks.
  std::size_t collect(std::span<const std::uint64_t> words, bool small_too) {
    std::size_t pointers = 0;
    for (const std::uint64_t word : words) {
      if (word < kHeader || word >> 47 != 0) continue;
      std::uint32_t block = blocks_.malloc_block_at(word);
      if (block == kNone && small_too) block = blocks_.small_block_at(word);
      if (block == kNone) continue;
      ++pointers;
      if (block >= reached_.size()) reached_.resize(std::max<std::size_t>(blocks_.count(), block + std::size_t{1}));
      if (!reached_[block]) queue_.push_back(block);
      reached_[block] = true;
      found_.push_back(block);
    }
    return pointers;
  }

  const std::vector<std::uint32_t>& unique_found() {
    std::sort(found_.begin(), found_.end());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return found_;
  }

  NativeBlocks result() {
    NativeBlocks result;
    reached_.resize(blocks_.count());
    for (std::uint32_t block = 0; block < blocks_.listed(); ++block) {
      if (reached_[block]) continue;
      ++result.unowned_blocks;
      result.unowned_bytes += blocks_.size(block);
    }
    links_.blocks = static_cast<std::uint32_t>(blocks_.count());
    links_.density.resize(links_.blocks);
    std::sort(links_.from_block.begin(), links_.from_block.end());
    const std::vector<NativeParent> parents = assign_parents(links_);
    std::sort(queue_.begin(), queue_.end(),
              [this](std::uint32_t a, std::uint32_t b) { return blocks_.begin(a) < blocks_.begin(b); });
    std::vector<std::uint32_t> number(blocks_.count(), kNone);
    NewNodes& nodes = result.nodes;
    for (const std::uint32_t block : queue_) {
      number[block] = static_cast<std::uint32_t>(nodes.address.size());
      nodes.address.push_back(blocks_.begin(block));
      nodes.size.push_back(blocks_.size(block));
      ++result.blocks;
      result.bytes += blocks_.size(block);
    }
    for (const std::uint32_t block : queue_) {
      auto& edges = parents[block].is_object ? nodes.from_old : nodes.from_new;
      const std::uint32_t from = parents[block].is_object ? parents[block].number : number[parents[block].number];
      edges.emplace_back(from, number[block]);
    }
    // What several objects point to themselves, they share.
    for (const auto& [object, block] : links_.from_object) {
      if (parents[block].is_object) nodes.from_old.emplace_back(object, number[block]);
    }
    std::sort(nodes.from_old.begin(), nodes.from_old.end());
    nodes.from_old.erase(std::unique(nodes.from_old.begin(), nodes.from_old.end()), nodes.from_old.end());
    std::sort(nodes.from_new.begin(), nodes.from_new.end());
    nodes.flags = kNodeNative;
    return result;
  }

  const ProcessMemory& memory_;
  const ProcessMemory& cached_;
  const HeapGraph& graph_;
  BlockTable& blocks_;
  std::vector<bool> reached_;
  std::vector<std::uint32_t> queue_;
  NativeLinks links_;
  std::vector<std::uint64_t> words_;
  std::vector<std::uint32_t> found_;
};

}  // namespace

NativeBlocks find_native_blocks(const ProcessMemory& memory, const ProcessMemory& cached, const HeapGraph& graph,
                                const MallocUse& use) {
  BlockTable blocks(cached, graph, use.heaps, use.python, use.arenas);
  return NativeSearch(memory, cached, graph, blocks).run();
}

}  // namespace memsnap
