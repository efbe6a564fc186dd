#pragma once

#include <span>
#include <string>
#include <unordered_map>

#include "snapshot/analysis/node_names.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Names for objects that several owners share, by one of the references to each: a module's variable if there is one
// ("shop.cart.CACHE"), else another name ("local rows", ".session of shop.cart.Entry"). One pass over all references.
std::unordered_map<NodeIndex, std::string> name_shared(const HeapGraph& graph, const NodeNames& names,
                                                       std::span<const NodeIndex> nodes);

}  // namespace memsnap
