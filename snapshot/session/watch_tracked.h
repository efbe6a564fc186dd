#pragma once

#include <sys/types.h>

#include "snapshot/session/track_allocations.h"
#include "snapshot/session/tracked_tables.h"

namespace memsnap {

// Reads what another memsnap records, at each slice of the request, until it is cancelled or that one ends: nothing is
// loaded, nothing is stopped. Of the request are used: duration, slice, cancelled, on_slice.
void watch_tracked(pid_t pid, const TrackedProcess& tracked, const TrackingRequest& request);

}  // namespace memsnap
