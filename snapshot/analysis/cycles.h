#pragma once

#include <cstdint>
#include <vector>

#include "snapshot/analysis/ownership.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Nodes that lead to each other over references: strongly connected components of more than one node.
struct Cycles {
  std::vector<std::uint32_t> number;   // by node: 1 is the one with most objects; 0: in none
  std::vector<std::uint32_t> objects;  // by number - 1: how many are in it, synthetic nodes not counted
};

// Which references to follow.
class FollowedEdges {
 public:
  // All that are not weak, but for back references (class, module's namespace), which tie all of a program's modules
  // and instances into one. Among `unreachable` nodes these count too: they are why nothing frees those.
  FollowedEdges(const HeapGraph& graph, const BitSet& unreachable);
  explicit FollowedEdges(const HeapGraph& graph);  // all that are not weak
  bool test(std::uint32_t edge) const { return follow_.test(edge); }

 private:
  BitSet follow_;
};

// Linear in nodes and edges (Tarjan's method, without recursion).
Cycles find_cycles(const HeapGraph& graph, const FollowedEdges& followed);

}  // namespace memsnap
