#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "attach/registers.h"

namespace memsnap {

// Existing `syscall; ret` and signal-return instructions in executable mappings, the C library's first. Empty: none
// found.
std::optional<Gadgets> find_gadgets(const MemoryMap& map, const ProcessMemory& memory);

// A stopped thread borrowed for system calls. Its signals are blocked meanwhile, and it stands on return frames below
// its stack's red zone, so that it finds its way back by itself should memsnap be killed in mid-call. The destructor
// puts everything back, verified, and leaves the thread in a stop from which the kernel restarts an interrupted call.
class RemoteCall {
 public:
  // Throws Error kGaveUp when the thread cannot be used: no room on its stack, a shadow stack, a restartable sequence.
  RemoteCall(pid_t pid, pid_t tid, const MemoryMap& map, const Gadgets& gadgets);
  ~RemoteCall();
  RemoteCall(const RemoteCall&) = delete;
  RemoteCall& operator=(const RemoteCall&) = delete;

  struct Result {
    std::int64_t value = 0;  // what the system call returned, -errno on failure
    pid_t child = 0;         // for clone: the child's pid as we see it, attached and stopped
  };
  // `number` and up to six arguments. Throws Error kTargetHarmed when the thread dies meanwhile.
  Result call(long number, std::array<std::uint64_t, 6> arguments);
  // A copy-on-write child with the target's descriptors, no exit signal; it would exit by itself if let go.
  Result clone_child();

  // Puts everything back. False when the thread is not word for word as it was.
  bool restore();

 private:
  void write_frames();
  Result run(user_regs_struct registers);
  void stop_again();

  pid_t pid_;
  pid_t tid_;
  const MemoryMap& map_;
  Gadgets gadgets_;
  ThreadRegisters saved_;
  std::uint64_t own_frame_ = 0;
  std::uint64_t child_frame_ = 0;
  bool restored_ = false;
};

// Which of the stopped threads may be borrowed: inside a system call, or provably outside a restartable sequence.
bool may_borrow(pid_t tid, const ProcessMemory& memory);

}  // namespace memsnap
