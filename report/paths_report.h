#pragma once

#include <vector>

#include "report/report.h"
#include "snapshot/analysis/paths.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What keeps an object alive: memsnap.roots/1. The snapshot needs all its parts; `paths` lead to `target`.
Report make_paths(const Snapshot& snapshot, NodeIndex target, const std::vector<Path>& paths);

}  // namespace memsnap
