#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "attach/memory_map.h"
#include "attach/remote_call.h"
#include "inject/control/agent_image.h"
#include "inject/control/shared_tables.h"
#include "inject/control/writable_memory.h"

namespace memsnap {

// Where the agent lies in a target: the image, directly behind it the control page, and the tables.
struct AgentPlace {
  std::uint64_t image_begin = 0;
  std::uint64_t image_end = 0;
  std::uint64_t control = 0;  // 0: there is no such page
  std::uint64_t shared_begin = 0;
  std::uint64_t shared_end = 0;
};

// Told before each change of the target: a test ends memsnap there.
using StepObserver = std::function<void(std::string_view step)>;

// The system calls that loading and unloading make, for a seccomp filter to be asked about.
std::span<const NeededCall> agent_calls();

struct MappedAgent {
  AgentPlace place;
  std::unique_ptr<SharedTables> tables;
};

// Makes the memory of the agent in a stopped target, by one of its threads: tables, image, control page (off). The
// tables come first and say where the rest will be, so that whatever is left when memsnap is killed on the way is
// found. Throws Error kGaveUp with everything taken back.
MappedAgent map_agent(RemoteCall& thread, pid_t pid, const AgentImage& image, const TableSizes& sizes,
                      const AgentHeader& facts, const StepObserver& step);

// Takes away what of `place` is still there. False, and why, when something could not be.
bool unmap_agent(RemoteCall& thread, const AgentPlace& place, bool tables, std::string* why);

}  // namespace memsnap
