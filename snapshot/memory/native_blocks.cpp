#include "snapshot/memory/native_blocks.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "snapshot/cpython/object_reader.h"
#include "snapshot/memory/block_table.h"
#include "snapshot/memory/native_owners.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kLeastRest = 256;  // less is malloc's own rounding
constexpr std::uint64_t kMostFields = 64u << 10;
constexpr std::uint64_t kMostScanned = 64u << 20;  // of one block: what is larger is data
constexpr std::size_t kPiece = 64u << 10;

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

// Finds all blocks that objects lead to, with every link between them.
class NativeSearch {
 public:
  NativeSearch(const ProcessMemory& memory, const ProcessMemory& cached, const HeapGraph& graph,
               const HeapLayout& layout, BlockTable& blocks)
      : memory_(memory), cached_(cached), graph_(graph), types_(cached, layout), blocks_(blocks) {}

  NativeBlocks run(const MallocHeaps& heaps) {
    scan_objects();
    add_rests(heaps);
    std::size_t next = 0;
    while (next < queue_.size()) scan_block(queue_[next++]);  // it grows meanwhile
    return result();
  }

 private:
  void scan_objects() {
    std::vector<std::uint32_t> fields;  // bytes to look at in an object of each type
    std::vector<bool> is_module;
    for (const TypeEntry& type : graph_.types) {
      const std::string_view name = graph_.strings.text(type.name);
      // Of a type's own blocks, the keys kept for its instances hold remains of what was there before.
      const bool known = is_known(name) || (types_.type_flags(type.address) & kFlagType) != 0;
      is_module.push_back(name == "builtins.module");
      fields.push_back(known ? 0 : static_cast<std::uint32_t>(std::min<std::uint64_t>(type.basic_size, kMostFields)));
    }
    for (NodeIndex node = 0; node < graph_.node_count(); ++node) {
      if (!graph_.is_object(node) || graph_.type[node] >= fields.size()) continue;
      const std::uint32_t size = fields[graph_.type[node]];
      if (size <= kChunkHeader) continue;
      words_.resize((size - kChunkHeader) / 8);
      if (!cached_.copy(graph_.address[node] + kChunkHeader, std::as_writable_bytes(std::span(words_)))) continue;
      forget_found();
      // What the object's size has beyond its fields may be in small blocks, which are not to be counted twice.
      collect(words_, graph_.size[node] <= size + kChunkHeader);
      if (is_module[graph_.type[node]]) {
        for (const std::uint32_t block : unique(found_)) links_.from_module.emplace_back(node, block);
        for (const std::uint32_t block : unique(found_inside_)) links_.from_module.emplace_back(node, block);
      } else {
        for (const std::uint32_t block : unique(found_)) links_.from_object.emplace_back(node, block);
        for (const std::uint32_t block : unique(found_inside_)) inside_.from_object.emplace_back(node, block);
      }
    }
  }

  void add_rests(const MallocHeaps& heaps) {
    std::vector<bool> known;
    for (const TypeEntry& type : graph_.types) known.push_back(is_known(graph_.strings.text(type.name)));
    for (NodeIndex node = 0; node < graph_.node_count(); ++node) {
      if (!graph_.is_object(node) || graph_.type[node] >= known.size() || known[graph_.type[node]]) continue;
      const std::uint64_t address = graph_.address[node];
      const auto chunk = blocks_.is_small(address) ? std::nullopt : heaps.find(address);
      if (!chunk || address - chunk->address > kChunkHeader + kMostBlockLead) continue;
      const std::uint64_t end = chunk->address + chunk->size;
      const std::uint64_t rest =
          (std::max(address + kChunkHeader, chunk->address + kChunkHeader + graph_.size[node]) + 15) & ~15ull;
      if (rest >= end || end - rest < kLeastRest) continue;
      if (node + 1 < graph_.node_count() && graph_.address[node + 1] < end) continue;  // a library's pool of objects
      const auto block = static_cast<std::uint32_t>(blocks_.count());
      blocks_.add_rest(rest, end);
      if (block == blocks_.count()) return;
      mark_reached(block);
      links_.from_object.emplace_back(node, block);
    }
  }

  void scan_block(std::uint32_t block) {
    const std::uint64_t size = std::min(blocks_.bytes_inside(block), kMostScanned);
    const ProcessMemory& source = size < kPiece ? cached_ : memory_;
    forget_found();
    std::size_t pointers = 0;
    for (std::uint64_t at = 0; at + 8 <= size; at += kPiece) {
      words_.resize(std::min<std::uint64_t>(kPiece, size - at) / 8);
      if (source.copy(blocks_.begin(block) + at, std::as_writable_bytes(std::span(words_)))) {
        pointers += collect(words_, true);
      }
    }
    if (block >= links_.density.size()) links_.density.resize(blocks_.count());
    links_.density[block] = static_cast<float>(pointers) * 8 / static_cast<float>(size);
    for (const std::uint32_t target : unique(found_)) links_.from_block.emplace_back(block, target);
    for (const std::uint32_t target : unique(found_inside_)) inside_.from_block.emplace_back(block, target);
  }

  // Returns how many words were pointers into blocks.
  std::size_t collect(std::span<const std::uint64_t> words, bool small_too) {
    std::size_t pointers = 0;
    for (const std::uint64_t word : words) {
      if (word < kChunkHeader || word >> 47 != 0) continue;
      std::uint32_t block = blocks_.malloc_block_at(word);
      if (block == kNoBlock && small_too) block = blocks_.small_block_at(word);
      if (block == kNoBlock) continue;
      ++pointers;
      mark_reached(block);
      const bool to_begin = word - blocks_.begin(block) <= kMostBlockLead;
      if (to_begin) begin_is_known_[block] = true;
      (to_begin ? found_ : found_inside_).push_back(block);
    }
    return pointers;
  }

  void mark_reached(std::uint32_t block) {
    if (block >= reached_.size()) {
      reached_.resize(blocks_.count());
      begin_is_known_.resize(blocks_.count());
    }
    if (!reached_[block]) queue_.push_back(block);
    reached_[block] = true;
  }

  void forget_found() {
    found_.clear();
    found_inside_.clear();
  }
  static const std::vector<std::uint32_t>& unique(std::vector<std::uint32_t>& blocks) {
    std::sort(blocks.begin(), blocks.end());
    blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
    return blocks;
  }

  // Numbers and remains of pointers hit the inside of large blocks by chance: where anything leads to a block's begin,
  // only such links count, unless what leads there can itself only be reached through the block.
  std::vector<NativeParent> find_parents() {
    begin_is_known_.resize(blocks_.count());
    add_inside([this](std::uint32_t block) { return !begin_is_known_[block]; });
    std::vector<NativeParent> parents = assign_parents(links_);
    const auto is_left = [&parents](std::uint32_t block) { return !parents[block].reached(); };
    if (std::none_of(queue_.begin(), queue_.end(), is_left)) return parents;
    add_inside([this](std::uint32_t block) { return begin_is_known_[block]; });
    const std::vector<NativeParent> second = assign_parents(links_);
    for (const std::uint32_t block : queue_) {
      if (is_left(block)) parents[block] = second[block];
    }
    return parents;
  }

  template <class Wanted>
  void add_inside(const Wanted& wanted) {
    const auto add = [&](const std::vector<NativeLinks::Link>& from, std::vector<NativeLinks::Link>& to) {
      std::copy_if(from.begin(), from.end(), std::back_inserter(to),
                   [&](const NativeLinks::Link& link) { return wanted(link.second); });
      std::sort(to.begin(), to.end());
      to.erase(std::unique(to.begin(), to.end()), to.end());
    };
    add(inside_.from_object, links_.from_object);
    add(inside_.from_block, links_.from_block);
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
    const std::vector<NativeParent> parents = find_parents();
    std::sort(queue_.begin(), queue_.end(),
              [this](std::uint32_t a, std::uint32_t b) { return blocks_.begin(a) < blocks_.begin(b); });
    std::vector<std::uint32_t> number(blocks_.count(), kNoBlock);
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
  ObjectReader types_;
  BlockTable& blocks_;
  std::vector<bool> reached_;
  std::vector<bool> begin_is_known_;  // something leads to where the block begins
  std::vector<std::uint32_t> queue_;
  NativeLinks links_;
  NativeLinks inside_;  // links to the inside of blocks
  std::vector<std::uint64_t> words_;
  std::vector<std::uint32_t> found_, found_inside_;
};

}  // namespace

NativeBlocks find_native_blocks(const ProcessMemory& memory, const ProcessMemory& cached, const HeapGraph& graph,
                                const HeapLayout& layout, const MallocUse& use) {
  BlockTable blocks(cached, graph, use.heaps, use.python, use.arenas);
  return NativeSearch(memory, cached, graph, layout, blocks).run(use.heaps);
}

}  // namespace memsnap
