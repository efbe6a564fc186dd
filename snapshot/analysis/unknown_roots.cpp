#include "snapshot/analysis/unknown_roots.h"

#include <algorithm>

#include "snapshot/analysis/retained.h"

namespace memsnap {
namespace {

std::vector<NodeIndex> nodes_nobody_owns(const HeapGraph& graph, const Ownership& ownership) {
  BitSet has_owner(graph.node_count());
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (ownership.reached(node)) continue;
    for (std::uint32_t edge = graph.edge_begin[node]; edge < graph.edge_begin[node + 1]; ++edge) {
      const NodeIndex target = graph.edge_target[edge];
      if (ownership.owns(edge) && target != node) has_owner.set(target);
    }
  }
  std::vector<NodeIndex> found;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (!ownership.reached(node) && !has_owner.test(node)) found.push_back(node);
  }
  return found;
}

// Marks what `first` reaches among the unreached nodes.
void mark(const HeapGraph& graph, const Ownership& ownership, NodeIndex first, BitSet& marked,
          std::vector<NodeIndex>& stack) {
  marked.set(first);
  stack.push_back(first);
  while (!stack.empty()) {
    const NodeIndex node = stack.back();
    stack.pop_back();
    for (std::uint32_t edge = graph.edge_begin[node]; edge < graph.edge_begin[node + 1]; ++edge) {
      const NodeIndex target = graph.edge_target[edge];
      if (ownership.is_weak(edge) || ownership.reached(target) || marked.test(target)) continue;
      marked.set(target);
      stack.push_back(target);
    }
  }
}

// A node of each cycle that nothing else leads to. The starts of a search in ascending order include the lowest node of
// each such cycle; a start that a later one reaches is not in such a cycle (the first half of Kosaraju's method).
std::vector<NodeIndex> nodes_of_cycles(const HeapGraph& graph, const Ownership& ownership) {
  std::vector<NodeIndex> stack;
  std::vector<NodeIndex> starts;
  {
    BitSet marked(graph.node_count());
    for (NodeIndex node = 0; node < graph.node_count(); ++node) {
      if (ownership.reached(node) || marked.test(node)) continue;
      starts.push_back(node);
      mark(graph, ownership, node, marked, stack);
    }
  }
  BitSet marked(graph.node_count());
  std::vector<NodeIndex> found;
  std::for_each(starts.rbegin(), starts.rend(), [&](NodeIndex node) {
    if (marked.test(node)) return;
    found.push_back(node);
    mark(graph, ownership, node, marked, stack);
  });
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace

void add_late_roots(HeapGraph& graph, Ownership& ownership, const std::vector<Root>& late) {
  for (const Root& root : late) {
    if (ownership.reached(root.node)) continue;
    graph.roots.push_back(root);
    ownership.add_root(root.node);
    ownership.follow_back_references();
  }
}

void add_unknown_roots(HeapGraph& graph, Ownership& ownership) {
  const auto add = [&](const std::vector<NodeIndex>& nodes) {
    for (const NodeIndex node : nodes) {
      graph.roots.push_back({.kind = RootKind::kUnknown, .node = node, .name = 0});
      ownership.add_root(node);
    }
    if (!nodes.empty()) ownership.follow_back_references();
  };
  if (!ownership.all_reached()) add(nodes_nobody_owns(graph, ownership));
  if (!ownership.all_reached()) add(nodes_of_cycles(graph, ownership));
}

void add_unknown_roots(HeapGraph& graph) {
  Ownership ownership(graph);
  add_unknown_roots(graph, ownership);
}

}  // namespace memsnap
