#pragma once

#include "attach/process_memory.h"
#include "snapshot/cpython/code_reader.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/threads/seen_thread.h"

namespace memsnap {

// The Python calls of a thread state: what is no code object, a circle or a wild pointer ends it, and it is not
// complete.
PythonStack read_python_stack(const ProcessMemory& memory, const PythonProcess& python, const ThreadState& state,
                              CodeReader& code);

}  // namespace memsnap
