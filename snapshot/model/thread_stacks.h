#pragma once

#include <cstdint>
#include <vector>

#include "snapshot/model/string_table.h"

namespace memsnap {

// What a thread was doing. The numbers are in files: never renumbered.
enum class WaitKind : std::uint8_t {
  kUnknown = 0,     // could not be told: it was not stopped, or is gone
  kRuns = 1,        // on a processor, or ready to be
  kSystemCall = 2,  // in a system call
  kLock = 3,        // in futex(2), for a lock of some kind
  kGil = 4,         // for the global interpreter lock
  kThreadEnd = 5,   // Thread.join(): the owner is the thread that is waited for
};

struct StackFrame {
  StringId function = 0;
  StringId file = 0;
  std::int32_t line = 0;  // 0: not known
  bool native = false;
  std::uint64_t address = 0;  // of the frame in the target (Python), of the instruction (native)
};

enum ThreadFlag : std::uint8_t {
  kThreadHoldsGil = 1,
  kThreadPython = 2,          // it has a thread state: Python code may run in it
  kThreadPartialPython = 4,   // not all of its Python frames could be read
  kThreadNative = 8,          // its frames hold the native ones too
  kThreadPartialNative = 16,  // they do not reach the thread's beginning
  kThreadUnmatched = 32,      // its Python frames could not be told among the native ones: they come first
  kThreadSleeps = 64,         // it slept (state S or D) before it was stopped: what it waits for is no moment's matter
};

// A thread of the process; its frames are those from `frame_begin` on, the innermost first.
struct ThreadStack {
  std::int32_t tid = 0;  // 0: a thread state of CPython's whose thread was not found
  StringId name = 0;     // what Python calls it, else the kernel
  std::uint8_t flags = 0;
  WaitKind wait = WaitKind::kUnknown;
  StringId waits = 0;            // "futex 0x7f21b0c41d90 (RLock held by 4251)"; when it runs: the C function it is in
  std::int32_t owner = 0;        // the thread that can end the wait; 0: not recorded
  double wait_seconds = -1;      // since it last ran; negative: not known
  std::int64_t interpreter = 0;  // of the innermost frame
  std::uint32_t frame_begin = 0;
  std::uint32_t frame_count = 0;

  bool has(ThreadFlag flag) const { return (flags & flag) != 0; }
};

enum class Tristate : std::uint8_t { kNo = 0, kYes = 1, kUnknown = 2 };

// What all threads of a process were doing at one moment.
struct ThreadStacks {
  std::vector<ThreadStack> threads;  // the main thread first
  std::vector<StackFrame> frames;
  StringTable strings;
  Tristate gil_held = Tristate::kUnknown;
  std::int32_t gil_holder = 0;  // 0: nobody, or a thread that was not found
  Tristate collecting = Tristate::kUnknown;
  bool has_native = false;
  bool partial = false;                              // the time was over before all was read
  bool all_wait = false;                             // for locks, without a time limit: a possible deadlock
  std::vector<std::vector<std::int32_t>> deadlocks;  // tids, each waiting for the next, the last for the first
};

}  // namespace memsnap
