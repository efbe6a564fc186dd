#pragma once

#include <vector>

#include "snapshot/model/snapshot.h"

namespace memsnap {

inline constexpr double kSuspectPercent = 10;  // of all bytes

// Objects below which the dominator tree fans out into small ones that are together at least `percent` of the heap, and
// types whose objects are that much without such a holder. Modules and classes in general are no suspects. Largest
// first. Needs dominators, retained sizes, references, texts and roots. Linear, but for one path to each suspect.
std::vector<Suspect> find_suspects(const HeapGraph& graph, double percent = kSuspectPercent);

}  // namespace memsnap
