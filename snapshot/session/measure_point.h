#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/frozen_process.h"
#include "attach/process_id.h"
#include "snapshot/model/memory_point.h"

namespace memsnap {

struct PointMeasureRequest {
  bool objects = false;  // freeze it once and count its objects; else it is not even stopped
  FreezeOptions freeze;
  std::function<bool()> cancelled;  // empty: never
};

struct PointMeasure {
  MeasuredMemory memory;
  std::vector<std::string> left_behind;  // as in SnapshotResult
};

// Who a process is to a log. Throws Error kNoSuchProcess.
ProcessKey process_key(const ProcessId& process);
std::string boot_id();

// What a process takes now. Without objects any process will do, and nothing is attached. Throws Error, also when the
// process ended meanwhile and its pid is somebody else's. One that another memsnap holds at the moment is waited for.
PointMeasure measure_point(const ProcessId& process, const PointMeasureRequest& request, Log& log);

}  // namespace memsnap
