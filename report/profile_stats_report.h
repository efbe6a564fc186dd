#pragma once

#include <cstddef>

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// Totals, rates, sizes of blocks, allocators, and the `largest` lines by bytes and by count: memsnap.stats/1. The
// snapshot has a profile.
Report make_profile_stats(const Snapshot& snapshot, std::size_t largest);

}  // namespace memsnap
