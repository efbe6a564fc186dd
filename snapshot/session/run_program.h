#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/launched_process.h"
#include "snapshot/capture/slice_recorder.h"
#include "snapshot/capture/table_reader.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/session/track_allocations.h"

namespace memsnap {

struct RunRequest {
  LaunchCommand command;
  TrackingRequest tracking;  // of it are taken: period, depth, python_objects, mappings, limits, lease, slice, native
  bool debug_registers = true;  // false: the program is attached to when its interpreter is there
  std::function<void(pid_t)> launched;
  // Waits so long for a signal to memsnap, and sees to those that came. True: memsnap is to stop itself (Ctrl-Z).
  std::function<bool(std::chrono::milliseconds)> attend;
  // A snapshot of the running program was asked for. It is taken by `look`, which may throw Error.
  std::function<bool()> look_wanted;
  std::function<void(const TableReader& tables, SliceRecorder& recorder)> look;
  // Another, when the interpreter begins to end: after the functions of atexit, before anything is torn down. Empty:
  // none, and the program does not wait there.
  std::function<void(const TableReader& tables, SliceRecorder& recorder)> look_at_exit;
};

struct RunResult {
  int status = 0;                            // wait status
  std::optional<AllocationProfile> profile;  // empty: it was not tracked
  std::string refusal;                       // why
  TargetInfo target;
  MemoryTotals memory;      // the last that was seen
  bool from_start = false;  // of its own code nothing ran before it was tracked
  double load_ms = 0;
  double start_ms = 0;  // from its first instruction to its interpreter being ready, memsnap's part with it
  double held_ms = 0;   // of that it was held
  std::vector<std::string> left_behind;
  std::vector<std::string> warnings;
};

// Starts a program, tracks it from its first instruction to its end, and reaps it. Throws what LaunchedProcess throws;
// once the program runs nothing is thrown: it is then run to its end without being tracked.
RunResult run_program(const RunRequest& request, Log& log);

}  // namespace memsnap
