#include "attach/registers.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>

#include "attach/base/error.h"

namespace memsnap {
namespace {

constexpr std::int64_t kRestartSys = -512;        // ERESTARTSYS
constexpr std::int64_t kRestartNoIntr = -513;     // ERESTARTNOINTR
constexpr std::int64_t kRestartNoHandler = -514;  // ERESTARTNOHAND
constexpr std::int64_t kRestartBlock = -516;      // ERESTART_RESTARTBLOCK
constexpr std::size_t kMaxExtended = 64u << 10;
constexpr std::size_t kMaskSize = 8;
// struct _fpx_sw_bytes in the XSAVE area's legacy region, and the mark behind it (asm/sigcontext.h).
constexpr std::size_t kSoftwareBytes = 464;
constexpr std::uint32_t kMagic1 = 0x46505853;
constexpr std::uint32_t kMagic2 = 0x46505845;
// The kernel's struct ucontext ends with an 8-byte mask, not the C library's 128 bytes and what follows.
constexpr std::size_t kContextSize = offsetof(ucontext_t, uc_sigmask) + kMaskSize;
constexpr std::uint64_t kContextFlags = 0x7;  // UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS

void check(long result, pid_t tid, const char* what) {
  if (result >= 0) return;
  throw Error(ExitCode::kTargetHarmed, fmt::format("{} of thread {}: {}", what, tid, std::strerror(errno)), "");
}

std::vector<std::byte> read_extended(pid_t tid) {
  std::vector<std::byte> bytes(kMaxExtended);
  iovec area{bytes.data(), bytes.size()};
  check(ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &area), tid, "reading the extended registers");
  bytes.resize(area.iov_len);
  return bytes;
}

}  // namespace

ThreadRegisters ThreadRegisters::save(pid_t tid) {
  ThreadRegisters saved;
  check(ptrace(PTRACE_GETREGS, tid, nullptr, &saved.general), tid, "reading the registers");
  saved.extended = read_extended(tid);
  check(ptrace(PTRACE_GETSIGMASK, tid, kMaskSize, &saved.signal_mask), tid, "reading the signal mask");
  return saved;
}

void ThreadRegisters::restore(pid_t tid) const {
  std::vector<std::byte> bytes = extended;
  iovec area{bytes.data(), bytes.size()};
  check(ptrace(PTRACE_SETREGSET, tid, NT_X86_XSTATE, &area), tid, "restoring the extended registers");
  check(ptrace(PTRACE_SETSIGMASK, tid, kMaskSize, &signal_mask), tid, "restoring the signal mask");
  check(ptrace(PTRACE_SETREGS, tid, nullptr, &general), tid, "restoring the registers");
}

bool ThreadRegisters::equals(pid_t tid) const {
  const ThreadRegisters now = save(tid);
  return std::memcmp(&now.general, &general, sizeof(general)) == 0 && now.extended == extended &&
         now.signal_mask == signal_mask;
}

std::size_t return_frame_size(const ThreadRegisters& registers) {
  constexpr std::size_t kHead = (8 + kContextSize + 63) / 64 * 64;
  return kHead + (registers.extended.size() + sizeof(kMagic2) + 63) / 64 * 64;
}

std::vector<std::byte> return_frame(const ThreadRegisters& registers, const Gadgets& gadgets, std::uint64_t address) {
  std::vector<std::byte> frame(return_frame_size(registers));
  const std::size_t area = return_frame_size(registers) - (registers.extended.size() + sizeof(kMagic2) + 63) / 64 * 64;
  ucontext_t context{};
  const user_regs_struct& from = registers.general;
  const std::array<std::pair<int, unsigned long long>, 18> words = {{{REG_R8, from.r8},
                                                                     {REG_R9, from.r9},
                                                                     {REG_R10, from.r10},
                                                                     {REG_R11, from.r11},
                                                                     {REG_R12, from.r12},
                                                                     {REG_R13, from.r13},
                                                                     {REG_R14, from.r14},
                                                                     {REG_R15, from.r15},
                                                                     {REG_RDI, from.rdi},
                                                                     {REG_RSI, from.rsi},
                                                                     {REG_RBP, from.rbp},
                                                                     {REG_RBX, from.rbx},
                                                                     {REG_RDX, from.rdx},
                                                                     {REG_RAX, from.rax},
                                                                     {REG_RCX, from.rcx},
                                                                     {REG_RSP, from.rsp},
                                                                     {REG_RIP, from.rip},
                                                                     {REG_EFL, from.eflags}}};
  for (const auto& [index, value] : words) context.uc_mcontext.gregs[index] = static_cast<greg_t>(value);
  const std::array<std::uint16_t, 4> segments = {static_cast<std::uint16_t>(from.cs), 0, 0,
                                                 static_cast<std::uint16_t>(from.ss)};
  std::memcpy(&context.uc_mcontext.gregs[REG_CSGSFS], segments.data(), sizeof(segments));
  context.uc_flags = kContextFlags;
  context.uc_stack.ss_flags = SS_DISABLE;
  std::memcpy(&context.uc_sigmask, &registers.signal_mask, kMaskSize);
  const std::uint64_t extended_at = address + area;
  std::memcpy(&context.uc_mcontext.fpregs, &extended_at, sizeof(extended_at));
  std::memcpy(frame.data(), &gadgets.signal_return, sizeof(gadgets.signal_return));
  std::memcpy(frame.data() + 8, &context, kContextSize);

  std::byte* const extended = frame.data() + area;
  std::memcpy(extended, registers.extended.data(), registers.extended.size());
  std::uint64_t features = 0;  // ptrace gives XCR0 in the first software word
  std::memcpy(&features, extended + kSoftwareBytes, sizeof(features));
  const auto size = static_cast<std::uint32_t>(registers.extended.size());
  const std::array<std::uint32_t, 2> head = {kMagic1, size + static_cast<std::uint32_t>(sizeof(kMagic2))};
  std::memcpy(extended + kSoftwareBytes, head.data(), sizeof(head));
  std::memcpy(extended + kSoftwareBytes + 8, &features, sizeof(features));
  std::memcpy(extended + kSoftwareBytes + 16, &size, sizeof(size));
  std::memcpy(extended + registers.extended.size(), &kMagic2, sizeof(kMagic2));
  return frame;
}

ThreadRegisters restarted(ThreadRegisters registers) {
  user_regs_struct& general = registers.general;
  if (!in_system_call(general)) return registers;
  switch (static_cast<std::int64_t>(general.rax)) {
    case kRestartSys:
    case kRestartNoIntr:
    case kRestartNoHandler:
      general.rax = general.orig_rax;
      general.rip -= 2;
      break;
    case kRestartBlock:
      general.rax = SYS_restart_syscall;
      general.rip -= 2;
      break;
    default:
      break;
  }
  return registers;
}

ThreadRegisters exiting(const ThreadRegisters& from, const Gadgets& gadgets) {
  ThreadRegisters registers = from;
  registers.general.rip = gadgets.system_call;
  registers.general.rax = SYS_exit_group;
  registers.general.rdi = 0;
  registers.general.eflags = 0x202;
  registers.signal_mask = ~0ull;
  return registers;
}

void let_endless_wait_restart(pid_t tid) {
  user_regs_struct registers{};
  if (ptrace(PTRACE_GETREGS, tid, nullptr, &registers) < 0 || static_cast<std::int64_t>(registers.rax) != -EINTR)
    return;
  constexpr std::uint64_t kEpollPwait2 = 441;
  bool endless = false;
  switch (registers.orig_rax) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      endless = static_cast<std::int32_t>(registers.r10) < 0;
      break;
    case kEpollPwait2:
    case SYS_semtimedop:
      endless = registers.r10 == 0;
      break;
    case SYS_rt_sigtimedwait:
      endless = registers.rdx == 0;
      break;
    case SYS_io_getevents:
      endless = registers.r8 == 0;
      break;
    case SYS_semop:
      endless = true;
      break;
    default:
      break;
  }
  if (!endless) return;
  registers.rax = static_cast<unsigned long long>(kRestartNoHandler);
  ptrace(PTRACE_SETREGS, tid, nullptr, &registers);
}

}  // namespace memsnap
