#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "attach/memory_map.h"
#include "attach/native_symbols.h"
#include "attach/process_memory.h"
#include "snapshot/cpython/gil.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/model/thread_stacks.h"
#include "snapshot/threads/seen_thread.h"

namespace memsnap {

// What all threads of a process do, from memory that stands still: a stopped process, its frozen copy.
class ThreadReader {
 public:
  // `tasks`: from before the stop.
  ThreadReader(pid_t pid, std::vector<Task> tasks);

  // Python's side: stacks, names, who holds the GIL, waits. `held` is empty for a process that was not stopped.
  void read(const ProcessMemory& memory, const PythonProcess& python, const std::vector<HeldThread>& held);

  // C's side, after that: `memory` holds the stacks of the threads that were held.
  void unwind(const ProcessMemory& memory, const MemoryMap& map);
  // Names what was unwound, and the C function that each running thread is in. At any time later.
  void name_native(NativeSymbols& symbols);

  const std::vector<SeenThread>& threads() const { return threads_; }
  ThreadStacks finish() const;

 private:
  struct State {
    const InterpreterState* interpreter;
    const ThreadState* thread;
  };
  void add_states(const ProcessMemory& memory, const PythonProcess& python, const InterpreterList& list);
  std::vector<pid_t> tids_of(const ProcessMemory& memory, const std::vector<State>& states) const;
  pid_t borrower_of(const ProcessMemory& memory, const State& state, pid_t said) const;
  void add_names(const ProcessMemory& memory, const PythonProcess& python, const InterpreterList& list);
  void add_holders();
  SeenThread& thread_of(pid_t tid);
  static void add_frames(const SeenThread& seen, ThreadStack& thread, ThreadStacks& result);

  pid_t pid_;
  std::vector<Task> tasks_;
  std::vector<SeenThread> threads_;
  std::vector<GilState> gils_;
  std::optional<bool> collecting_;
  bool complete_ = true;
};

}  // namespace memsnap
