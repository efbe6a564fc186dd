#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/process_id.h"
#include "inject/control/unload.h"
#include "snapshot/capture/slice_recorder.h"
#include "snapshot/capture/table_reader.h"
#include "snapshot/model/allocation_profile.h"

namespace memsnap {

// Recording has begun.
struct TrackingStart {
  const ProcessId& target;
  const AgentPlace& place;  // of the agent
};

struct TrackingRequest {
  pid_t pid = 0;
  std::uint64_t start_time = 0;               // of the process that is meant; 0: whichever has the pid
  std::chrono::milliseconds duration{10000};  // 0: until it is cancelled, or the target ends
  std::uint64_t period = 512u << 10;          // bytes between samples on average; 1: every block
  std::uint32_t depth = 1000;                 // most Python frames of a stack
  bool python_objects = false;                // CPython's small blocks too
  bool mappings = true;
  bool native = false;  // native frames too
  StopLimits limits;
  std::chrono::milliseconds lease{10000};  // the agent records for so long when memsnap is gone
  std::function<bool()> cancelled;         // asked several times a second; empty: never
  std::chrono::milliseconds slice{1000};   // between readings of the tables; longer where a reading takes long
  // After each reading: how long it has run.
  std::function<void(std::chrono::milliseconds, const SliceRecorder&)> on_slice;
  // What these throw ends the session, not the target.
  using Look = std::function<void(const TableReader& tables, SliceRecorder& recorder)>;
  std::function<void(const TrackingStart&)> on_start;
  std::function<void()> on_poll;  // many times a second
  // After each reading: why recording shall end now; empty: it goes on.
  std::function<std::string(const TableReading& reading, const SliceRecorder& recorder)> limit_reached;
  std::function<bool()> wants_snapshot;  // asked as `cancelled` is; then `on_demand` is called
  Look on_demand;                        // while all is recorded
  Look before_end;                       // the same at the end: for a last snapshot
  std::function<void()> before_unload;   // also when something failed
};

struct TrackingResult {
  AllocationProfile profile;
  double load_ms = 0;         // the target was stopped to load the agent
  double unload_ms = 0;       // and to take it out: the longest of its stops
  bool target_ended = false;  // while it was tracked
  std::uint32_t hooks_undone = 0;
  std::string end_reason;  // a sentence's part: "the time was over"
  std::vector<std::string> left_behind;
  std::vector<std::string> warnings;
};

// Loads the agent, records, takes it out. Throws Error with the target as it was when tracking could not begin. What
// was recorded is kept also when the target ends.
TrackingResult track_allocations(const TrackingRequest& request, Log& log);

}  // namespace memsnap
