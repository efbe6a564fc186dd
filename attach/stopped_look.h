#pragma once

#include <functional>

#include "attach/frozen_process.h"
#include "attach/kept_memory.h"

namespace memsnap {

// Stops the process for a look at a few of its pages: no child, no copy of its heap, so the stop is short however large
// it is. `look` reads through `memory`, which has its deadline from max_pause; what it read is kept there. Throws Error
// as freeze() does, and what `look` throws; the process runs as before on every path.
FreezeFacts look_at_stopped(const ProcessId& target, const FreezeOptions& options, KeptMemory& memory,
                            const std::function<void(const std::vector<HeldThread>&)>& look);

}  // namespace memsnap
