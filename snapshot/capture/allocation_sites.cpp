#include "snapshot/capture/allocation_sites.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace memsnap {
namespace {

// In front of an object lie its GC head (16 bytes) and, from 3.11 on, its dict and weak references (16 more). Which of
// them a type has is not asked: blocks do not overlap, so the one that begins there and holds the object is its own.
constexpr std::array<std::uint64_t, 3> kBeforeObject{0, 16, 32};
constexpr std::uint64_t kObjectHead = 16;  // reference count and type

// Words of the shadow by address. Objects come in ascending order: the last two leaves are enough.
class Shadow {
 public:
  explicit Shadow(const TableReader& tables) : tables_(tables), roots_(tables.roots()) {}

  std::uint64_t word(std::uint64_t address) {
    const std::uint64_t mib = address >> kLeafShift;
    const auto root = std::lower_bound(roots_.begin(), roots_.end(), mib,
                                       [](const ShadowRoot& each, std::uint64_t wanted) { return each.mib < wanted; });
    if (root == roots_.end() || root->mib != mib) return 0;
    const std::vector<std::uint64_t>& words = leaf(root->leaf);
    return words.empty() ? 0 : words[(address >> 4) % kLeafWords];
  }

 private:
  const std::vector<std::uint64_t>& leaf(std::uint32_t number) {
    if (leaves_[0].first != number) {
      std::swap(leaves_[0], leaves_[1]);
      if (leaves_[0].first != number) leaves_[0] = {number, tables_.leaf(number)};
    }
    return leaves_[0].second;
  }

  const TableReader& tables_;
  std::vector<ShadowRoot> roots_;
  std::array<std::pair<std::uint32_t, std::vector<std::uint64_t>>, 2> leaves_;
};

std::uint64_t block_of(Shadow& shadow, std::uint64_t object, bool native) {
  if (native) return shadow.word(object);
  for (const std::uint64_t before : kBeforeObject) {
    if (object < before) break;
    const std::uint64_t word = shadow.word(object - before);
    if (word != 0 && slot_size(word) >= before + kObjectHead) return word;
  }
  return 0;
}

}  // namespace

void fill_allocation_sites(HeapGraph& graph, const TableReader& tables,
                           const std::vector<std::uint32_t>& rows_of_sites) {
  Shadow shadow(tables);
  graph.site.assign(graph.node_count(), 0);
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if ((graph.flags[node] & kNodeSynthetic) != 0) continue;
    const std::uint64_t word = block_of(shadow, graph.address[node], (graph.flags[node] & kNodeNative) != 0);
    if (word == 0) continue;
    const std::uint32_t site = slot_site(word);
    if (site < rows_of_sites.size()) graph.site[node] = rows_of_sites[site];
  }
}

}  // namespace memsnap
