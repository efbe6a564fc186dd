#pragma once

#include <cstddef>
#include <vector>

#include "report/report.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/model/snapshot_diff.h"

namespace memsnap {

struct GrowthOptions {
  std::size_t rows = 25;  // 0: all
};

// What grew in a row of snapshots, oldest first: memsnap.growth/1. `types` and `holders` are sorted, fastest first.
Report make_growth(const std::vector<SnapshotHeader>& headers, const std::vector<Growth>& types,
                   const std::vector<Growth>& holders, const GrowthOptions& options);

}  // namespace memsnap
