#pragma once

#include <sys/user.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "attach/memory_map.h"
#include "attach/process_memory.h"

namespace memsnap {

struct NativeFrame {
  std::uint64_t instruction = 0;    // where it is; in a caller, where it goes on
  std::uint64_t stack_pointer = 0;  // what is below belongs to the frames further in
  bool is_call = false;             // a caller: the call lies before the instruction
  std::uint64_t entry = 0;          // the function that was called, where the call says so; not always this one
  std::uint64_t lookup() const { return instruction - (is_call ? 1 : 0); }
};

struct NativeStack {
  std::vector<NativeFrame> frames;  // the innermost first
  bool complete = false;            // they reach the function that the thread began with
};

// Unwinds stacks by the tables that programs carry for exceptions (.eh_frame), out of any memory: a stopped process, a
// frozen copy, or stacks copied in a short stop beside program text that does not change. No file is opened.
class Unwinder {
 public:
  // Both must outlive the unwinder.
  Unwinder(const ProcessMemory& memory, const MemoryMap& map);
  ~Unwinder();
  Unwinder(const Unwinder&) = delete;
  Unwinder& operator=(const Unwinder&) = delete;

  NativeStack unwind(const user_regs_struct& registers) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The bytes of a thread's C stack that are in use: from below its stack pointer (the red zone) to its end.
struct StackRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};
StackRange used_stack(const user_regs_struct& registers, const MemoryMap& map);

}  // namespace memsnap
