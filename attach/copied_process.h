#pragma once

#include <memory>

#include "attach/frozen_process.h"

namespace memsnap {

// Stays stopped while the writable private memory is copied here, smallest mappings first; `partial` at the deadline.
// Mappings of files that nobody can write are read from the running process afterwards.
std::unique_ptr<FrozenProcess> freeze_by_copy(const ProcessId& target, const FreezeOptions& options, Log& log);

// No stop at all: the running process is read as it changes.
std::unique_ptr<FrozenProcess> read_running(const ProcessId& target);

}  // namespace memsnap
