#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "snapshot/model/heap_graph.h"
#include "snapshot/model/snapshot_diff.h"

namespace memsnap {

struct HolderLimits {
  std::uint32_t depth = 6;     // levels below the top; 0: the top alone, which is modules, threads and groups of roots
  double min_percent = 0.05;   // of all bytes: what retains less is left out
  std::uint32_t siblings = 0;  // of one holder, the largest; 0: all
};

// A path of the dominator tree, "module shop.cart.CACHE['k']", and the type of what it leads to.
using HolderPath = std::pair<std::string, std::string>;

// What each path retains: comparable between snapshots of one program. Needs what build_containment() needs.
std::map<HolderPath, Totals> holder_totals(const HeapGraph& graph, const HolderLimits& limits);

}  // namespace memsnap
