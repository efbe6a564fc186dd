#pragma once

#include <memory>

#include "attach/frozen_process.h"

namespace memsnap {

// A freeze by a forced copy-on-write child. Throws Error; `*fallback` is set when nothing is wrong with the target but
// no child can be made (filter, limit, shadow stack): it runs as before, and --method stop would do.
std::unique_ptr<FrozenProcess> freeze_by_fork(const ProcessId& target, const FreezeOptions& options, Log& log,
                                              bool* fallback);

}  // namespace memsnap
