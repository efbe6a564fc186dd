#pragma once

#include <sys/types.h>

#include <optional>

#include "attach/base/log.h"
#include "inject/control/left_tracking.h"
#include "snapshot/capture/slice_recorder.h"
#include "snapshot/capture/table_reader.h"
#include "snapshot/session/take_snapshot.h"

namespace memsnap {

// A process that another memsnap tracks: its tables, opened without anybody's help, and where they are mapped.
struct TrackedProcess {
  FoundAgent agent;
  TableReader tables;
};
// Empty: nothing records in it now. Throws Error kNoPermission when the tables may not be opened, kBadFile when they
// are none.
std::optional<TrackedProcess> find_tracked(pid_t pid);

// The tables as they are now. Empty: they are too large to be copied.
std::optional<TableReader> copy_of(const TableReader& tables);

// A snapshot whose objects know where they were allocated, as far as these tables say, with the profile up to now.
// `again` is for a recording that goes on, and belongs to the tables.
SnapshotResult take_tracked_snapshot(SnapshotRequest request, const TableReader& tables, SliceRecorder& again,
                                     Log& log);
// As take_snapshot(); of a process that another memsnap tracks as above.
SnapshotResult take_any_snapshot(const SnapshotRequest& request, Log& log);

}  // namespace memsnap
