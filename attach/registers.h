#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace memsnap {

// All that ptrace can change of a stopped thread, x86-64: general and extended registers and the signal mask, as one.
// This file and registers.cpp are what another architecture replaces.
struct ThreadRegisters {
  user_regs_struct general{};
  std::vector<std::byte> extended;  // NT_X86_XSTATE: the XSAVE area, standard format
  std::uint64_t signal_mask = 0;

  // All throw Error kTargetHarmed when the thread is gone or not stopped.
  static ThreadRegisters save(pid_t tid);
  void restore(pid_t tid) const;
  bool equals(pid_t tid) const;  // the thread's present state is this one, word for word
};

// Inside a system call, as its stop shows it: such a thread is in no restartable sequence.
inline bool in_system_call(const user_regs_struct& registers) {
  return static_cast<std::int64_t>(registers.orig_rax) >= 0;
}

// Instructions that exist in the target's executable mappings; no text is ever written.
struct Gadgets {
  std::uint64_t system_call = 0;    // syscall; ret
  std::uint64_t signal_return = 0;  // mov $15, %rax; syscall (the C library's signal restorer)
};

// A stack image on which a thread that executes `ret` restores exactly `registers` by rt_sigreturn(2), wherever our
// side is by then; its alternate signal stack stays as it is. Without extended registers the image is short, and the
// thread's are reset: right for a system call that never returns to the program, good enough for one about to return.
std::size_t return_frame_size(const ThreadRegisters& registers);
// `address`, where it will lie, is 64-byte aligned.
std::vector<std::byte> return_frame(const ThreadRegisters& registers, const Gadgets& gadgets, std::uint64_t address);

// About to return through the frame at `frame`: a thread in this state finds its way back if we are gone.
user_regs_struct returning(const user_regs_struct& from, const Gadgets& gadgets, std::uint64_t frame);
// About to make a system call, and then to return through the frame at `stack`.
user_regs_struct calling(const user_regs_struct& from, const Gadgets& gadgets, std::uint64_t stack, long number,
                         const std::array<std::uint64_t, 6>& arguments);
// What a system call returned, -errno on failure.
inline std::int64_t call_result(const user_regs_struct& registers) { return static_cast<std::int64_t>(registers.rax); }
// -ERESTART...: it was interrupted before it did anything, and is to be made again.
bool is_restart(std::int64_t result);

// The registers with which the kernel would restart an interrupted system call, for a return frame only: on the normal
// path the kernel does it itself.
ThreadRegisters restarted(ThreadRegisters registers);

// A wait that a stop ends early with EINTR although it had no time limit (signal(7)): -514 lets the kernel restart it
// when no handler runs. With a time limit CPython recomputes the rest (PEP 475), and a restart would begin it anew.
void let_endless_wait_restart(pid_t tid);

}  // namespace memsnap
