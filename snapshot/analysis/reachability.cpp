#include "snapshot/analysis/reachability.h"

#include <vector>

namespace memsnap {

BitSet find_unreachable(const HeapGraph& graph) {
  BitSet unreachable(graph.node_count());
  for (std::size_t node = 0; node < graph.node_count(); ++node) unreachable.set(node);
  std::vector<NodeIndex> stack;
  const auto reach = [&](NodeIndex node) {
    if (!unreachable.test(node)) return;
    unreachable.clear(node);
    stack.push_back(node);
  };
  for (const Root& root : graph.roots) {
    if (root.kind != RootKind::kUnknown) reach(root.node);
    while (!stack.empty()) {
      const NodeIndex node = stack.back();
      stack.pop_back();
      for (std::uint32_t edge = graph.edge_begin[node]; edge < graph.edge_begin[node + 1]; ++edge) {
        if (graph.edge_label[edge].kind() != Label::kWeak) reach(graph.edge_target[edge]);
      }
    }
  }
  return unreachable;
}

}  // namespace memsnap
