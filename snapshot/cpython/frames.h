#pragma once

#include <cstdint>
#include <functional>

#include "attach/process_memory.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

enum class FrameKind : std::uint8_t {
  kFrameObject,  // PyFrameObject, to 3.10
  kThreadOwned,  // _PyInterpreterFrame on the thread's data stack
  kGenerator,    // inside a generator or coroutine object
  kObjectOwned,  // inside a PyFrameObject that outlived its call
  kInterpreter,  // no Python code: the interpreter's own, between C and Python. It has no locals
};

struct RunningFrame {
  std::uint64_t address = 0;  // PyFrameObject (to 3.10) or _PyInterpreterFrame
  std::uint64_t code = 0;     // PyCodeObject; 0 for kInterpreter
  FrameKind kind = FrameKind::kThreadOwned;
  bool entry = false;  // to 3.11: called from C, by an evaluation loop of its own; later a kInterpreter frame follows
};

// Calls `visit` for each frame of a thread, the innermost first. False when the chain is damaged, runs in circles or is
// longer than `limit`: what was visited till then is right.
bool for_each_frame(const ProcessMemory& memory, const PythonProcess& python, const ThreadState& thread,
                    const std::function<void(const RunningFrame&)>& visit, std::uint64_t limit = 1u << 24);

}  // namespace memsnap
