#pragma once

#include <vector>

#include "snapshot/model/snapshot.h"

namespace memsnap {

// Bytes that the program could do without, by kind, in a fixed order; kinds without any are left out:
//   duplicate str, duplicate bytes   all but one of equal values (counted when the snapshot was taken)
//   empty dicts                      all their bytes
//   sparse dicts                     what a table four times smaller or less would save
//   over-allocated lists             room for more than an eighth more items, as growing leaves
//   one-entry sets                   what a tuple of one would save
// Only builtins.dict, list and set themselves; a dict whose size is not that of a table of its own is left out.
// Needs nodes, references and types. Linear.
std::vector<NamedCount> find_waste(const Snapshot& snapshot);

}  // namespace memsnap
