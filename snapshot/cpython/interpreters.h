#pragma once

#include <cstdint>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

// A PyThreadState of the target.
struct ThreadState {
  std::uint64_t address = 0;
  std::uint64_t thread_id = 0;         // pthread_t
  std::uint64_t native_thread_id = 0;  // tid as the target's own pid namespace has it; 0: not known (to 3.10)
  std::uint64_t current_frame = 0;     // PyFrameObject (to 3.10) or _PyInterpreterFrame; 0: runs no Python code
};

// A PyInterpreterState of the target: the main one or a sub-interpreter.
struct InterpreterState {
  std::uint64_t address = 0;
  std::int64_t id = 0;
  std::uint64_t modules = 0;   // sys.modules
  std::uint64_t sysdict = 0;   // sys.__dict__
  std::uint64_t builtins = 0;  // builtins.__dict__
  std::vector<ThreadState> threads{};
};

struct InterpreterList {
  std::vector<InterpreterState> interpreters;  // newest first, as the target has them
  bool complete = true;                        // false: a pointer was unreadable, a list ran in circles or was too long
};

// All interpreters and their threads. A damaged list gives what can be read of it.
InterpreterList read_interpreters(const ProcessMemory& memory, const PythonProcess& python);

}  // namespace memsnap
