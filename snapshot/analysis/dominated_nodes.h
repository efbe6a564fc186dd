#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

// What each node dominates directly, in ascending order; kNoNode dominates the tops.
class DominatedNodes {
 public:
  explicit DominatedNodes(const HeapGraph& graph) : begin_(graph.node_count() + 2), nodes_(graph.node_count()) {
    for (const NodeIndex above : graph.dominator) ++begin_[row(above) + 1];
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    std::vector<std::uint32_t> next(begin_.begin(), begin_.end() - 1);
    for (NodeIndex node = 0; node < graph.node_count(); ++node) nodes_[next[row(graph.dominator[node])]++] = node;
  }
  std::span<const NodeIndex> of(NodeIndex above) const {
    return std::span(nodes_).subspan(begin_[row(above)], begin_[row(above) + 1] - begin_[row(above)]);
  }

 private:
  static std::size_t row(NodeIndex above) { return above == kNoNode ? 0 : std::size_t{above} + 1; }
  std::vector<std::uint32_t> begin_;
  std::vector<NodeIndex> nodes_;
};

}  // namespace memsnap
