#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attach/memory_map.h"
#include "attach/process_id.h"
#include "attach/registers.h"
#include "attach/remote_call.h"
#include "attach/stopped_process.h"
#include "inject/control/agent_image.h"
#include "inject/control/agent_mapping.h"
#include "inject/control/got_patches.h"
#include "inject/control/lease_clock.h"
#include "inject/control/shared_tables.h"
#include "inject/control/tracking.h"
#include "inject/control/writable_memory.h"

namespace memsnap {

inline constexpr const char* kConfigSymbol = "memsnap_agent_config";

// Everything that can be found out before anything is stopped.
struct LoadPlan {
  AgentImage image;
  MemoryMap map;
  Gadgets gadgets;
  GotPlan got;
  TableSizes sizes;
  AgentHeader header{};
};
// Throws Error as Tracking::start does.
LoadPlan plan_load(const ProcessId& target, const TrackingSetup& setup, const WritableMemory& memory);

struct LoadedAgent {
  MappedAgent mapped;
  std::uint32_t tid_offset = 0;
  std::uint32_t allocators = 0;
  std::vector<std::uint64_t> control_blocks;  // of the threads there were
  std::chrono::nanoseconds pause{};
};
// One stop: the agent is mapped, filled, hooked and switched on. Throws Error with everything taken back.
LoadedAgent load_agent(const ProcessId& target, const TrackingSetup& setup, const WritableMemory& memory,
                       const LoadPlan& plan, const LeaseClock& clock);

// In a stop, by a thread that is traced: hooks the words that still are as planned. How many; empty: the journal is
// full, or a word could not be written, and nothing is hooked.
std::optional<std::size_t> hook_slots(const WritableMemory& memory, const GotPlan& got, const AgentImage& image,
                                      const AgentPlace& place, SharedTables& tables, pid_t stopped);

// Functions that this image has a hook for, by index in hooked_functions().
std::vector<bool> hooks_of(const AgentImage& image, bool mappings);

// Bytes that recording may need of the target's memory limit. Throws Error kGaveUp when they are not there.
void require_room_for_tables(pid_t pid, const TrackingSetup& setup);

}  // namespace memsnap
