#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/base/log.h"
#include "attach/process_id.h"
#include "inject/control/unload.h"

namespace memsnap {

// An agent that is in a process.
struct FoundAgent {
  AgentPlace place;             // what of it is there; image_begin 0: no image
  bool same_version = true;     // its tables are such as this memsnap makes
  std::uint64_t tables = 0;     // inode, 0: it has none
  pid_t keeper = 0;             // the memsnap that holds it now, 0: none that is seen from here
  bool kept_elsewhere = false;  // by one of another pid namespace, if that lives: is_lease_renewed()
  std::uint64_t period = 0;     // of its header, as found; hostile
  std::uint64_t began_ns = 0;
};
std::vector<FoundAgent> find_agents(pid_t pid);

// It is switched on, and its lease has not run out.
bool is_recording(pid_t pid, const AgentPlace& place);
// Somebody renews the lease. Takes seconds when nobody does.
bool is_lease_renewed(pid_t pid, const AgentPlace& place);
// Throws Error kBusy when one of them is held by a memsnap that is alive.
void require_not_kept(pid_t pid, const std::vector<FoundAgent>& agents);
// Its tables, by the keeper's descriptor or the target's mapping. Empty: neither may be opened.
FileDescriptor open_for_reading(pid_t pid, const FoundAgent& agent);

// Takes out whatever agents of earlier memsnaps are in the process, and in those forked from it, and closes their
// descriptors. Empty: there was none. Throws Error kBusy when one is held by a memsnap that is alive, unless
// `even_if_kept`.
std::optional<TrackingEnd> end_left_tracking(const ProcessId& target, const StopLimits& limits, Log& log,
                                             bool even_if_kept = false);

// Whether a process forked from a tracked one has its agent's image: not any more when it runs another program.
bool took_agent_along(pid_t pid, const AgentPlace& place);
// Takes it out of that one alone. Empty: it had none.
std::optional<TrackingEnd> end_inherited(const ProcessId& child, const AgentPlace& place, const StopLimits& limits,
                                         Log& log);
// Processes forked from a tracked one that took its agent along: with the same image at the same place.
std::vector<pid_t> tracked_descendants(pid_t tracked, const AgentPlace& place, std::uint64_t since_start_time);
// Takes it out of them all, also of those that are forked meanwhile.
void end_in_descendants(pid_t tracked, const AgentPlace& place, std::uint64_t since_start_time,
                        const StopLimits& limits, Log& log, TrackingEnd& end);

}  // namespace memsnap
