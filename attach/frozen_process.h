#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/memory_map.h"
#include "attach/process_id.h"
#include "attach/process_memory.h"

namespace memsnap {

enum class Method { kAuto, kFreeze, kStop, kRead, kCore };  // kCore: no process, a core file

struct FreezeOptions {
  Method method = Method::kAuto;
  std::chrono::milliseconds wait{5000};      // for the threads to stop
  std::chrono::milliseconds max_pause{250};  // predicted above it: Error kGaveUp before anything is touched
};

// A thread as it stood in the stop.
struct HeldThread {
  pid_t tid = 0;
  user_regs_struct registers{};
  std::vector<std::byte> extended{};  // NT_X86_XSTATE
};

// How the target was held, for the header of a report and for the JSON.
struct FreezeFacts {
  Method method = Method::kFreeze;
  bool consistent = true;            // false for kRead
  bool partial = false;              // kStop that reached its deadline
  std::chrono::nanoseconds pause{};  // first INTERRUPT to last DETACH
  std::uint32_t threads = 0;
  std::uint32_t threads_not_stopped = 0;  // in uninterruptible sleep (state D): not stopped, skipped
  bool was_stopped = false;               // group-stopped before (SIGSTOP); left so
  std::string fallback_reason;            // why auto did not freeze; empty when it did
  std::vector<HeldThread> held;           // those that were stopped, in that stop; empty for kRead
};

// Why a run of the child came back.
struct ChildStop {
  enum class Kind {
    kTrap,        // it executed int3: the walker's own report
    kSignal,      // a fault or abort, not delivered
    kSystemCall,  // it asked for a system call that is not let through; the call was cancelled
    kDeadline,    // still running when the time was over; it is stopped now
    kEnded,       // killed from outside (memory limit)
  } kind = Kind::kEnded;
  int signal = 0;
  std::uint64_t fault_address = 0;
  std::int64_t system_call = -1;
};

// The copy-on-write child of the target, the only place in which memsnap runs code for a heap walk. It never lets a
// system call of the code it runs through, but for private anonymous mmap, munmap, brk and madvise, so that a malloc
// inside a tp_traverse works. Shared writable mappings were write-protected before anything ran.
class FrozenChild {
 public:
  virtual ~FrozenChild() = default;
  virtual pid_t pid() const = 0;

  // Private anonymous memory in the child; `executable` gives read+execute after the bytes are written by write().
  // Throws Error kInternal when the kernel refuses (the caller falls back to the structural walk).
  virtual std::uint64_t map(std::size_t size, bool executable) = 0;
  // A range of address space that costs nothing until touched (MAP_NORESERVE); 0 when refused.
  virtual std::uint64_t reserve(std::size_t size) = 0;
  virtual void write(std::uint64_t address, std::span<const std::byte> bytes) = 0;

  // Sets the registers for `entry(argument)` on the stack that ends at `stack_top` (16-byte aligned by the callee's
  // rules); all signals blocked, flags cleared. Nothing runs yet. May be called again after any stop: that abandons the
  // old call.
  virtual void prepare_call(std::uint64_t entry, std::uint64_t argument, std::uint64_t stack_top) = 0;
  // Runs until the child stops by itself, or for `slice` at most. After kTrap it goes on behind the int3.
  virtual ChildStop resume(std::chrono::milliseconds slice) = 0;
  // For overlap: resume without waiting, and wait for the stop later.
  virtual void resume_async() = 0;
  virtual ChildStop wait(std::chrono::milliseconds slice) = 0;  // kDeadline leaves it stopped

  virtual double cpu_ms() const = 0;  // user + system time of the child so far
};

// A still image of the target: the target already runs again (kFreeze, kStop after its copy) or never stopped (kRead).
class FrozenProcess {
 public:
  virtual ~FrozenProcess() = default;  // kills and reaps the child on every path; never throws

  virtual const ProcessMemory& memory() const = 0;  // cached, bulk reads: each page is copied once
  virtual const MemoryMap& map() const = 0;
  virtual FrozenChild* child() { return nullptr; }  // nullptr: no code can run, walk structurally
  virtual const FreezeFacts& facts() const = 0;
  // The image is gone before its time (the target ended, a memory limit): what was read last may not have been there.
  virtual bool lost() const { return false; }

  // Kills and reaps the child now, so that copy-on-write ends early. memory() is not readable afterwards.
  // What was left behind, one line each (empty: nothing); the caller exits with kLeftBehind.
  virtual std::vector<std::string> release() = 0;
};

// Throws Error: kNoPermission, kBusy, kGaveUp, kNoSuchProcess, kTargetHarmed.
std::unique_ptr<FrozenProcess> freeze(const ProcessId& target, const FreezeOptions& options, Log& log);

}  // namespace memsnap
