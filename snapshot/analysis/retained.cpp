#include "snapshot/analysis/retained.h"

#include <algorithm>

#include "snapshot/analysis/dominators.h"
#include "snapshot/analysis/ownership.h"
#include "snapshot/analysis/unknown_roots.h"

namespace memsnap {
namespace {

constexpr std::size_t kAhead = 24;  // nodes whose entries are fetched from memory before they are needed

void total_types(HeapGraph& graph) {
  for (TypeEntry& type : graph.types) type.count = type.size = type.retained = type.native = 0;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (!graph.is_object(node) || graph.type[node] >= graph.types.size()) continue;
    ++graph.types[graph.type[node]].count;
    graph.types[graph.type[node]].size += graph.size[node];
  }
}

void fill_columns(HeapGraph& graph, const DominatorTree& tree) {
  graph.dominator.assign(graph.node_count(), kNoNode);
  graph.retained.resize(graph.node_count());
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    graph.retained[node] = (graph.flags[node] & kNodeSynthetic) == 0 ? graph.size[node] : 0;
  }
  for (std::size_t i = tree.node.size(); i-- > 1;) {
    if (i > kAhead) {
      __builtin_prefetch(&graph.retained[tree.node[i - kAhead]]);
      __builtin_prefetch(&graph.dominator[tree.node[i - kAhead]], 1);
    }
    const NodeIndex node = tree.node[i];
    const NodeIndex above = tree.node[tree.idom[i]];
    graph.dominator[node] = above;
    if (above != kNoNode) graph.retained[above] += graph.retained[node];
  }
}

// A type retains what its instances retain, but an instance inside another counts with that one. In a preorder of the
// dominator tree what a node dominates follows it at once, so for each type the end of the last outermost instance's
// stretch tells whether the next instance is inside it.
void retain_types(HeapGraph& graph, const DominatorTree& tree) {
  const std::size_t count = tree.node.size();
  std::vector<std::uint32_t> below(count, 1);  // nodes dominated, itself too
  for (std::size_t i = count; i-- > 1;) below[tree.idom[i]] += below[i];
  std::vector<std::uint32_t> place(count);  // where its next child in the preorder goes
  std::vector<std::uint32_t> order(count);
  place[0] = 1;
  for (std::uint32_t i = 1; i < count; ++i) {
    std::uint32_t& next = place[tree.idom[i]];
    order[next] = i;
    place[i] = next + 1;
    next += below[i];
  }
  std::vector<std::uint32_t> inside_until(graph.types.size());
  for (std::uint32_t at = 1; at < count; ++at) {
    const std::uint32_t i = order[at];
    const NodeIndex node = tree.node[i];
    const TypeId type = graph.type[node];
    if (at + kAhead < count) __builtin_prefetch(&graph.type[tree.node[order[at + kAhead]]]);
    if (type >= graph.types.size() || at < inside_until[type] || !graph.is_object(node)) continue;
    inside_until[type] = at + below[i];
    graph.types[type].retained += graph.retained[node];
  }
}

// A block of native memory belongs to the nearest Python object that holds it.
void own_native(HeapGraph& graph, const DominatorTree& tree) {
  if (std::none_of(graph.flags.begin(), graph.flags.end(), [](auto flags) { return (flags & kNodeNative) != 0; }))
    return;
  std::vector<NodeIndex> owner(tree.node.size(), kNoNode);
  for (std::size_t i = 1; i < tree.node.size(); ++i) {
    const NodeIndex node = tree.node[i];
    const bool native = (graph.flags[node] & kNodeNative) != 0;
    owner[i] = native ? owner[tree.idom[i]] : node;
    if (native && owner[i] != kNoNode && graph.type[owner[i]] < graph.types.size()) {
      graph.types[graph.type[owner[i]]].native += graph.size[node];
    }
  }
}

// What no root reaches is in no tree: each retains itself.
void retain_unreached(HeapGraph& graph, const Ownership& ownership) {
  for (NodeIndex node = 0; node < graph.node_count() && !ownership.all_reached(); ++node) {
    if (ownership.reached(node) || !graph.is_object(node) || graph.type[node] >= graph.types.size()) continue;
    graph.types[graph.type[node]].retained += graph.size[node];
  }
}

}  // namespace

void compute_retained(HeapGraph& graph, Ownership& ownership) {
  ownership.settle();
  const DominatorTree tree = build_dominators(graph, ownership);
  fill_columns(graph, tree);
  total_types(graph);
  retain_types(graph, tree);
  own_native(graph, tree);
  retain_unreached(graph, ownership);
}

void compute_retained(HeapGraph& graph) {
  Ownership ownership(graph);
  compute_retained(graph, ownership);
}

void analyze(HeapGraph& graph) {
  Ownership ownership(graph);
  add_unknown_roots(graph, ownership);
  compute_retained(graph, ownership);
}

}  // namespace memsnap
