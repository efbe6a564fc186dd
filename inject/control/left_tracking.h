#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/process_id.h"
#include "inject/control/unload.h"

namespace memsnap {

// An agent that is in a process.
struct FoundAgent {
  AgentPlace place;          // what of it is there; image_begin 0: no image
  bool same_version = true;  // its tables are such as this memsnap makes
  std::uint64_t tables = 0;  // inode, 0: it has none
  pid_t keeper = 0;          // the memsnap that holds it now, 0: none does
  std::uint64_t period = 0;  // of its header, as found; hostile
  std::uint64_t began_ns = 0;
};
std::vector<FoundAgent> find_agents(pid_t pid);

// Takes out whatever agents of earlier memsnaps are in the process, and in those forked from it, and closes their
// descriptors. Empty: there was none. Throws Error kBusy when one is held by a memsnap that is alive, unless
// `even_if_kept`.
std::optional<TrackingEnd> end_left_tracking(const ProcessId& target, const StopLimits& limits, Log& log,
                                             bool even_if_kept = false);

// Processes forked from a tracked one that took its agent along: with the same image at the same place.
std::vector<pid_t> tracked_descendants(pid_t tracked, const AgentPlace& place, std::uint64_t since_start_time);
// Takes it out of them all, also of those that are forked meanwhile.
void end_in_descendants(pid_t tracked, const AgentPlace& place, std::uint64_t since_start_time,
                        const StopLimits& limits, Log& log, TrackingEnd& end);

}  // namespace memsnap
