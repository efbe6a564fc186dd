#pragma once

#include <optional>

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// Where an object's block was allocated, innermost call first; nothing when that is not known.
// "Session.__init__ shop/cart.py:4, from fill shop/app.py:10, from ..., by malloc in MainThread (4242)"
std::optional<Line> allocation_line(const Snapshot& snapshot, NodeIndex node, Line line);
Fact allocation_fact(const Snapshot& snapshot, NodeIndex node);  // an object with "stack", or null

}  // namespace memsnap
