#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

inline constexpr std::uint32_t kNoEdge = 0xffffffff;

// A node of a path, and the reference that led to it (an index into edge_target).
struct PathStep {
  NodeIndex node = kNoNode;
  std::uint32_t edge = kNoEdge;  // kNoEdge: the root itself
};

struct Path {
  Root root;
  std::vector<PathStep> steps;  // from the root's node to the target
};

struct PathOptions {
  std::size_t count = 1;  // at most; each through another direct holder of the target
  bool via_weak = false;  // weak references are followed too
};

// Shortest paths from the roots to a node, shortest first, empty when nothing leads there. Roots of kind kUnknown count
// only when no named root reaches the target. Linear in nodes and edges.
std::vector<Path> find_paths(const HeapGraph& graph, NodeIndex target, const PathOptions& options);

}  // namespace memsnap
