#pragma once

#include <cstdint>
#include <optional>

#include "report/report.h"
#include "snapshot/analysis/references.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

struct Inspection {
  NodeIndex node = kNoNode;
  std::uint64_t rank = 0;  // @N; 0: it has none
  std::optional<References> referents;
  std::optional<References> referrers;
  bool whole_value = false;
};

// One object: memsnap.inspect/1. The snapshot needs all its parts.
Report make_inspection(const Snapshot& snapshot, const Inspection& inspection);

}  // namespace memsnap
