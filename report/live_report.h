#pragma once

#include <cstddef>

#include "report/profile_summary_report.h"
#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

struct LiveOptions {
  ProfileSort sort = ProfileSort::kTotal;
  std::size_t rows = 25;  // 0: all
};

// One screen of a running recording: what is live by function, and what changed in the last slice. memsnap.live/1. The
// snapshot has a profile (of SliceRecorder::profile()).
Report make_live(const Snapshot& snapshot, const LiveOptions& options);

}  // namespace memsnap
