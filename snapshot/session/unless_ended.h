#pragma once

#include "attach/base/error.h"
#include "attach/process_id.h"

namespace memsnap {

// What `work` returns. A process that ends while it is looked at has no memory any more, and looks like no Python: that
// it has ended is what is said then.
template <typename Work>
auto unless_ended(const ProcessId& target, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.code() == ExitCode::kUnsupported) target.require_memory();
    throw;
  }
}

}  // namespace memsnap
