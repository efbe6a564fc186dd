#pragma once

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

struct ThreadsOptions {
  bool native = false;  // with the frames of C code, where there are any
  bool locals = false;  // with what each frame's locals retain: the snapshot needs all its parts
};

// What each thread was doing: memsnap.threads/1. The snapshot has its threads.
Report make_threads(const Snapshot& snapshot, const ThreadsOptions& options);

}  // namespace memsnap
