#pragma once

#include "attach/base/log.h"
#include "snapshot/session/take_snapshot.h"

namespace memsnap {

struct ThreadsRequest {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // of the process that is meant; 0: whichever has the pid
  FreezeOptions freeze;
  bool native = false;
};

// What the threads of a process do, without its heap: one short stop, or none (kRead). The snapshot has `threads` and
// a header, and an empty graph. Throws Error; the target is as it was on every path.
SnapshotResult take_threads(const ThreadsRequest& request, Log& log);

}  // namespace memsnap
