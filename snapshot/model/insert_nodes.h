#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Nodes to be added to a graph, in ascending order of address, none of which is there yet.
struct NewNodes {
  std::vector<std::uint64_t> address;
  std::vector<std::uint64_t> size;
  TypeId type = 0;
  std::uint8_t flags = 0;
  // References without a name, sorted: from a node of the graph, or from a new one, to new ones (indices of these).
  std::vector<std::pair<NodeIndex, std::uint32_t>> from_old;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> from_new;
};

// Adds them, with `more_roots` kept in step with the graph's own. Before the analysis: dominators are not moved. False,
// and nothing is done, when there would be more nodes or references than 32 bits count.
bool insert_nodes(HeapGraph& graph, const NewNodes& nodes, std::vector<Root>& more_roots);

}  // namespace memsnap
