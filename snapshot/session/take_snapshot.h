#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/frozen_process.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What a command asks of one target.
struct SnapshotRequest {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // of the process that is meant; 0: whichever has the pid
  FreezeOptions freeze;
  SnapshotKind kind = SnapshotKind::kHeap;
  StringsPolicy strings = StringsPolicy::kNames;
  std::uint32_t strings_prefix = 0;   // bytes kept of each text, for StringsPolicy::kPrefix
  std::vector<std::string> redact;    // regular expressions: matching text is replaced
  bool native = false;                // threads with the frames of C code
  bool totals_only = false;           // kSession: neither threads nor where the RSS is
  bool native_memory = false;         // memory that C code keeps for objects becomes part of the graph
  std::function<bool()> cancelled;    // asked between steps; empty: never
  std::function<void()> when_frozen;  // called once, right after the stop; may not throw
};

struct SnapshotResult {
  Snapshot snapshot;
  std::vector<std::string> left_behind;  // what verification found after the detach, one line each; empty: nothing
};

// Freezes, walks, verifies and lets go. Throws Error; the target is as it was on every path.
SnapshotResult take_snapshot(const SnapshotRequest& request, Log& log);

}  // namespace memsnap
