#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/process_id.h"
#include "inject/control/agent_mapping.h"
#include "inject/control/writable_memory.h"
#include "inject/protocol/agent_abi.h"

namespace memsnap {

struct StopLimits {
  std::chrono::milliseconds wait{5000};      // for a moment at which all threads stop
  std::chrono::milliseconds max_pause{250};  // for the frozen copy of the proof: predicted above it, there is none
};

// How tracking ended.
struct TrackingEnd {
  std::vector<std::string> left_behind;     // one line each; empty: nothing
  std::chrono::nanoseconds unhook_pause{};  // the target was stopped for it
  std::chrono::nanoseconds proof_pause{};   // the longest of the frozen copies
  std::chrono::nanoseconds unmap_pause{};
  std::uint32_t proofs = 0;  // frozen copies that were looked through
  std::uint32_t patches_undone = 0;
  std::uint32_t patches_foreign = 0;  // words that were no longer ours
};

// One agent in one process, to be taken out.
struct AgentToUnload {
  const ProcessId& target;
  const WritableMemory& memory;
  AgentPlace place;
  std::vector<AgentPatch>& patches;
  bool has_tables = true;                   // false in a forked child, which has none
  std::function<void()> journal = nullptr;  // writes the states of the patches down
  StepObserver step = nullptr;
};

// Undoes the patches in one stop and turns the agent off; proves on frozen copies that nothing leads into it any more;
// unmaps it in a last stop. What cannot be proven stays, passes everything through, and is in left_behind. Throws Error
// when the target could not be stopped (then nothing is changed), kNoSuchProcess when it is gone.
TrackingEnd unload_agent(const AgentToUnload& agent, const StopLimits& limits, Log& log);

}  // namespace memsnap
