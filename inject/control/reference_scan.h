#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "attach/frozen_process.h"
#include "inject/control/agent_image.h"
#include "inject/control/agent_mapping.h"

namespace memsnap {

// Why the agent's image may not be taken away.
struct ImageReferences {
  std::vector<std::string> reasons;  // empty: nothing refers to it, and no thread can come back to it
  bool passing = false;   // some are of threads that are inside or were a moment ago: it is worth looking again
  bool pointers = false;  // some are pointers to hooks in memory: those stay
};

struct ScanQuestion {
  const AgentPlace& place;
  const AgentImage& image;   // as it is in the target
  std::uint64_t inside = 0;  // hooks that were running, by the agent's own count
  pid_t target = 0;          // for its page map
};

// Looks at all memory that the frozen process has written, and at the registers of its threads. A word is taken for a
// pointer into the image when it is one, also in the form in which the C library keeps pointers (PTR_MANGLE). One that
// is no function of the image counts only while some thread may return there: not when all stacks unwind to their ends
// and none passes through the image, since what no stack leads to is what an ended call left.
ImageReferences find_references(FrozenProcess& frozen, const ScanQuestion& question);

}  // namespace memsnap
