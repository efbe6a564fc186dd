#pragma once

#include "report/report.h"
#include "snapshot/analysis/cycles.h"
#include "snapshot/analysis/object_list.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// Single objects: memsnap.objects/1. With `cycles`, the columns that say in which one each object is.
Report make_objects(const Snapshot& snapshot, const ObjectList& list, const Cycles* cycles);

}  // namespace memsnap
