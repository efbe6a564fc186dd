#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "snapshot/analysis/node_names.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// A reference, and what is at its other end.
struct Reference {
  NodeIndex node = kNoNode;  // at the other end
  NodeIndex from = kNoNode;  // who refers
  std::uint32_t edge = 0;    // an index into edge_target
  std::uint64_t items_before = 0;
  std::size_t first_below = 0;  // references beyond `node`, listed together
  std::size_t below = 0;
  std::uint64_t hidden_below = 0;  // not listed: over the limit
};

struct ReferenceLimits {
  std::uint32_t depth = 1;
  std::size_t rows = 20;  // of one object; 0: all
};

// [0] stands for the object itself: node, and what is below. An object is followed once, where it is nearest. Weak
// references are listed, and followed no further. Linear in nodes and edges for each level.
using References = std::vector<Reference>;
References find_referents(const HeapGraph& graph, NodeIndex node, const ReferenceLimits& limits);
References find_referrers(const HeapGraph& graph, NodeIndex node, const ReferenceLimits& limits);

// How it is held: ".name", "['key']", "[3]", "weak".
std::string label_of(const HeapGraph& graph, const NodeNames& names, const Reference& reference);

}  // namespace memsnap
