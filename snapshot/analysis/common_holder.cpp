#include "snapshot/analysis/common_holder.h"

#include <vector>

#include "snapshot/analysis/dominated_nodes.h"

namespace memsnap {

CommonHolder common_holder(const HeapGraph& graph, const BitSet& chosen) {
  const DominatedNodes below(graph);
  std::vector<NodeIndex> order;  // holders before what they hold
  order.reserve(graph.node_count());
  for (const NodeIndex top : below.of(kNoNode)) order.push_back(top);
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (const NodeIndex node : below.of(order[i])) order.push_back(node);
  }
  std::vector<std::uint32_t> count(graph.node_count());
  std::uint64_t all = 0;
  for (std::size_t i = order.size(); i-- > 0;) {
    const NodeIndex node = order[i];
    if (chosen.test(node)) {
      ++count[node];
      ++all;
    }
    if (graph.dominator[node] != kNoNode) count[graph.dominator[node]] += count[node];
  }
  CommonHolder found;
  for (NodeIndex at = kNoNode;;) {
    NodeIndex next = kNoNode;
    for (const NodeIndex node : below.of(at)) {
      if (std::uint64_t{count[node]} * 2 >= all && count[node] > 1) next = node;
      if (next != kNoNode) break;
    }
    if (next == kNoNode || all == 0) return found;
    found = {next, count[next]};
    at = next;
  }
}

}  // namespace memsnap
