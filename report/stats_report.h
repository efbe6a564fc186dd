#pragma once

#include <cstddef>
#include <vector>

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

struct StatsOptions {
  std::size_t largest = 5;  // single objects listed
};

// Sizes of objects, the largest ones, and what could be saved (`waste`, of find_waste()): memsnap.stats/1. Needs nodes,
// types and addresses.
Report make_stats(const Snapshot& snapshot, const std::vector<NamedCount>& waste, const StatsOptions& options);

}  // namespace memsnap
