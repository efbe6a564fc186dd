#pragma once

#include "snapshot/model/allocation_profile.h"

namespace memsnap {

// Makes one slice of each two neighbours; an odd last one stays as it is. The changes of each slice are in ascending
// order of their rows before and after.
void merge_slices(AllocationProfile& profile);

}  // namespace memsnap
