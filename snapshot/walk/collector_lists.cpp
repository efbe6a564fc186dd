#include "snapshot/walk/collector_lists.h"

#include <algorithm>

#include "snapshot/cpython/object_reader.h"
#include "snapshot/walk/address_index.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMaxStack = 64u << 20;  // of one stack, its top end
constexpr std::uint64_t kGcHead = 16;

class StackHeads {
 public:
  StackHeads(const ProcessMemory& memory, const HeapLayout& layout, std::span<const std::uint64_t> known)
      : memory_(memory), reader_(memory, layout), known_(known.begin(), known.end()) {
    std::sort(known_.begin(), known_.end());
  }

  void add_stack(const Mapping& mapping) {
    const std::uint64_t begin = mapping.end - std::min(mapping.size(), kMaxStack);
    const auto same = [&](const Range& range) { return range.end == mapping.end; };
    if (std::none_of(stacks_.begin(), stacks_.end(), same)) stacks_.push_back({begin, mapping.end});
  }

  std::vector<std::uint64_t> find() {
    for (const Range& stack : stacks_) {
      for (std::uint64_t at = stack.begin; at + kGcHead <= stack.end; at += 8) {
        const std::uint64_t next = next_of(at);
        if (next != 0 && !on_stack(next) && is_object(next)) follow(next);
      }
    }
    std::sort(heads_.begin(), heads_.end());
    heads_.erase(std::unique(heads_.begin(), heads_.end()), heads_.end());
    return std::move(heads_);
  }

 private:
  struct Range {
    std::uint64_t begin, end;
  };

  std::uint64_t next_of(std::uint64_t node) const {
    const std::uint64_t next = memory_.try_read<std::uint64_t>(node).value_or(0) & ~3ull;
    return (next & 7) == 0 && next >> 47 == 0 ? next : 0;
  }

  bool on_stack(std::uint64_t address) const {
    return std::any_of(stacks_.begin(), stacks_.end(),
                       [&](const Range& stack) { return address >= stack.begin && address < stack.end; });
  }

  // The node of an object of a collected type, whose own type is a type: two steps are telling enough beside the ring.
  bool is_object(std::uint64_t node) const {
    const auto type = reader_.type_of(node + kGcHead);
    if (!type || (reader_.type_flags(*type) & kFlagHaveGc) == 0) return false;
    const auto metatype = reader_.type_of(*type);
    return metatype && (reader_.type_flags(*metatype) & kFlagType) != 0;
  }

  void follow(std::uint64_t node) {
    while (node != 0 && !std::binary_search(known_.begin(), known_.end(), node)) {
      if (on_stack(node)) {
        heads_.push_back(node);
        return;
      }
      if (!is_object(node) || !visited_.insert(node)) return;
      node = next_of(node);
    }
  }

  const ProcessMemory& memory_;
  ObjectReader reader_;
  std::vector<std::uint64_t> known_;
  std::vector<Range> stacks_;
  AddressIndex visited_;
  std::vector<std::uint64_t> heads_;
};

}  // namespace

std::vector<std::uint64_t> find_stack_heads(const ProcessMemory& memory, const MemoryMap& map, const HeapLayout& layout,
                                            std::span<const std::uint64_t> thread_ids,
                                            std::span<const std::uint64_t> known) {
  StackHeads search(memory, layout, known);
  for (const Mapping& mapping : map.mappings()) {
    const bool holds_thread = std::any_of(thread_ids.begin(), thread_ids.end(),
                                          [&](std::uint64_t id) { return id >= mapping.begin && id < mapping.end; });
    if (mapping.readable && mapping.writable && (mapping.name == "[stack]" || holds_thread)) search.add_stack(mapping);
  }
  return search.find();
}

}  // namespace memsnap
