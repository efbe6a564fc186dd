#pragma once

#include <cstdint>
#include <vector>

#include "snapshot/capture/table_reader.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Fills graph.site: 1 + the row of the profile where each object's block was allocated. `rows_of_sites` is
// SliceRecorder::rows_of_sites(). The tables should be as they were when the objects were walked: a block that was
// freed since has no site, and one that was given out again has another.
//
// CPython's own free lists hand out blocks that they kept: the site is that of the block.
void fill_allocation_sites(HeapGraph& graph, const TableReader& tables,
                           const std::vector<std::uint32_t>& rows_of_sites);

}  // namespace memsnap
