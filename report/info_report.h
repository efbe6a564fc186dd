#pragma once

#include <string>
#include <vector>

#include "report/report.h"
#include "report/snapshot_facts.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// Everything a file says about itself, but for its columns: memsnap.info/1.
Report make_info(const SnapshotHeader& header, const SavedFile& file);

}  // namespace memsnap
