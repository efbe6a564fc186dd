#pragma once

#include <cstddef>

#include "snapshot/model/allocation_profile.h"

namespace memsnap {

// Keeps the rows with most bytes, allocated or live or live at the peak, `most` of them. All others become one row
// without a stack, so that every sum stays what it was; calls, frames and texts that nothing needs any more go.
// Allocation sites of objects are rows: they mean nothing afterwards.
void fold_rows(AllocationProfile& profile, std::size_t most);

}  // namespace memsnap
