#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "attach/registers.h"
#include "attach/seccomp_filter.h"
#include "attach/stopped_process.h"

namespace memsnap {

// Existing `syscall; ret` and signal-return instructions in executable mappings, the C library's first. Empty: none
// found.
std::optional<Gadgets> find_gadgets(const MemoryMap& map, const ProcessMemory& memory);

// The name by which a later memsnap knows a child left behind by one that was killed.
inline constexpr const char* kChildName = "memsnap-frozen";

using CallArguments = std::array<std::uint64_t, 6>;

// A system call as it will be made, to ask a filter about.
struct NeededCall {
  const char* name;
  long number;
  CallArguments arguments;
};

// A stopped thread borrowed for system calls. Its signals are blocked meanwhile, and it stands on return frames below
// its stack's red zone, so that it finds its way back by itself should memsnap be killed in mid-call. The destructor
// puts everything back and leaves the thread in a stop from which the kernel restarts an interrupted call.
class RemoteCall {
 public:
  // Throws Error kGaveUp when the thread cannot be used: no room on its stack, a shadow stack.
  RemoteCall(pid_t pid, pid_t tid, const MemoryMap& map, const Gadgets& gadgets, SeccompGate gate);
  ~RemoteCall();
  RemoteCall(const RemoteCall&) = delete;
  RemoteCall& operator=(const RemoteCall&) = delete;

  struct Result {
    std::int64_t value = 0;  // what the system call returned, -errno on failure
    pid_t child = 0;         // for clone: the child's pid as we see it, attached and stopped
  };
  // Throws Error kGaveUp when a seccomp filter forbids the call, kTargetHarmed when the thread dies of it,
  // kNoSuchProcess when somebody else ends it.
  Result call(long number, const CallArguments& arguments);
  // A copy-on-write child with the target's descriptors and no exit signal. Let go, it would name itself and exit.
  Result clone_child();

  // Puts everything back. False when the thread is not word for word as it was.
  bool restore();

  const SeccompGate& gate() const { return gate_; }
  // A few bytes of the thread's own that a call may point to, until restore().
  static constexpr std::size_t kScratchSize = 64;
  std::uint64_t scratch() const { return scratch_; }

 private:
  bool place_on_stack(std::size_t room, const MemoryMap& map);
  void write_frames(std::uint64_t begin);
  void move_to_own_mapping(const MemoryMap& map);
  void park();
  Result run(const user_regs_struct& registers);
  void stop_again();

  pid_t pid_;
  pid_t tid_;
  Gadgets gadgets_;
  SeccompGate gate_;
  ThreadRegisters saved_;
  std::uint64_t own_frame_ = 0;
  std::uint64_t child_frame_ = 0;
  std::uint64_t short_frame_ = 0;  // while the others lie in a mapping of their own
  std::uint64_t mapping_ = 0;
  std::uint64_t scratch_ = 0;
  std::size_t frames_size_ = 0;
  bool restored_ = false;
};

// A stopped thread that may be borrowed: inside a system call, or provably outside a restartable sequence; the main
// thread before others. Empty, and why, when there is none on which all calls a freeze needs can be made, and those of
// `also`.
std::unique_ptr<RemoteCall> borrow_thread(pid_t pid, std::span<const pid_t> stopped, const MemoryMap& map,
                                          const Gadgets& gadgets, std::string* why,
                                          std::span<const NeededCall> also = {});

}  // namespace memsnap
