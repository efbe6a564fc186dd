#include "attach/registers.h"

#include <cpuid.h>
#include <elf.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "attach/base/error.h"

namespace memsnap {
namespace {

constexpr std::int64_t kRestartSys = -512;        // ERESTARTSYS
constexpr std::int64_t kRestartNoIntr = -513;     // ERESTARTNOINTR
constexpr std::int64_t kRestartNoHandler = -514;  // ERESTARTNOHAND
constexpr std::int64_t kRestartBlock = -516;      // ERESTART_RESTARTBLOCK
constexpr std::size_t kMaxExtended = 16u << 10;   // 11 KiB with AMX
constexpr std::size_t kMaskSize = 8;
// struct _fpx_sw_bytes in the XSAVE area's legacy region, and the mark behind it (asm/sigcontext.h).
constexpr std::size_t kSoftwareBytes = 464;
constexpr std::uint32_t kMagic1 = 0x46505853;
constexpr std::uint32_t kMagic2 = 0x46505845;
// The kernel's struct ucontext ends with an 8-byte mask, not the C library's 128 bytes and what follows.
constexpr std::size_t kContextSize = offsetof(ucontext_t, uc_sigmask) + kMaskSize;
constexpr std::uint64_t kContextFlags = 0x6;   // UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
constexpr std::uint64_t kContextExtended = 1;  // UC_FP_XSTATE
// No mode of sigaltstack(2): rt_sigreturn then leaves the thread's alternate stack alone. SS_DISABLE would remove it.
constexpr int kKeepAlternateStack = 0x40;
constexpr std::size_t kStateHeader = 512;            // XSTATE_BV: which components are not in their initial state
constexpr std::size_t kSmallestExtended = 576;       // legacy region and header
constexpr std::uint64_t kTileFeatures = 3ull << 17;  // AMX: in a thread's signal frames only once it has used it

void check(long result, pid_t tid, const char* what) {
  if (result >= 0) return;
  throw Error(ExitCode::kTargetHarmed, fmt::format("{} of thread {}: {}", what, tid, std::strerror(errno)), "");
}

constexpr std::size_t kFrameHead = (8 + kContextSize + 63) / 64 * 64;
constexpr unsigned long long kNoCall = ~0ull;      // orig_rax outside a system call: the kernel restarts nothing
constexpr unsigned long long kPlainFlags = 0x202;  // interrupts on, direction up, no trap flag

struct Usable {
  std::size_t size = 0;
  std::uint64_t features = 0;
};

// How much of the XSAVE area a signal frame of this thread may hold: the kernel rejects one larger than it would itself
// write, and ptrace always shows the largest.
Usable usable_extended(const std::vector<std::byte>& extended) {
  if (extended.size() < kSmallestExtended) return {};
  Usable usable{extended.size(), 0};
  std::uint64_t used = 0;
  std::memcpy(&usable.features, extended.data() + kSoftwareBytes, sizeof(usable.features));  // ptrace gives XCR0 here
  std::memcpy(&used, extended.data() + kStateHeader, sizeof(used));
  if ((usable.features & kTileFeatures) == 0 || (used & kTileFeatures) != 0) return usable;
  usable.features &= ~kTileFeatures;
  std::size_t end = kSmallestExtended;
  for (unsigned feature = 2; feature < 63; ++feature) {
    if ((usable.features >> feature & 1) == 0) continue;
    unsigned size = 0, offset = 0, flags = 0, unused = 0;
    __cpuid_count(0xd, feature, size, offset, flags, unused);
    end = std::max<std::size_t>(end, offset + size);
  }
  usable.size = std::min(end, extended.size());
  return usable;
}

void put_general(const user_regs_struct& from, ucontext_t& context) {
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
}

std::vector<std::byte> read_extended(pid_t tid) {
  std::array<std::byte, kMaxExtended> bytes;  // left uninitialised: this is done for each thread while all are stopped
  iovec area{bytes.data(), bytes.size()};
  check(ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &area), tid, "reading the extended registers");
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(area.iov_len)};
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
  if (read_extended(tid) != extended) {  // a system call keeps them, so writing them back would be the only change
    std::vector<std::byte> bytes = extended;
    iovec area{bytes.data(), bytes.size()};
    check(ptrace(PTRACE_SETREGSET, tid, NT_X86_XSTATE, &area), tid, "restoring the extended registers");
  }
  check(ptrace(PTRACE_SETSIGMASK, tid, kMaskSize, &signal_mask), tid, "restoring the signal mask");
  // Last: until then the thread stands before a return frame, so that it is whole at every moment if we are killed.
  check(ptrace(PTRACE_SETREGS, tid, nullptr, &general), tid, "restoring the registers");
}

bool ThreadRegisters::equals(pid_t tid) const {
  const ThreadRegisters now = save(tid);
  return std::memcmp(&now.general, &general, sizeof(general)) == 0 && now.extended == extended &&
         now.signal_mask == signal_mask;
}

std::size_t return_frame_size(const ThreadRegisters& registers) {
  const std::size_t extended = usable_extended(registers.extended).size;
  return kFrameHead + (extended == 0 ? 0 : (extended + sizeof(kMagic2) + 63) / 64 * 64);
}

std::vector<std::byte> return_frame(const ThreadRegisters& registers, const Gadgets& gadgets, std::uint64_t address) {
  std::vector<std::byte> frame(return_frame_size(registers));
  ucontext_t context{};
  put_general(registers.general, context);
  context.uc_flags = kContextFlags;
  context.uc_stack.ss_flags = kKeepAlternateStack;
  std::memcpy(&context.uc_sigmask, &registers.signal_mask, kMaskSize);
  const Usable usable = usable_extended(registers.extended);
  if (usable.size != 0) {
    context.uc_flags |= kContextExtended;
    const std::uint64_t extended_at = address + kFrameHead;
    std::memcpy(&context.uc_mcontext.fpregs, &extended_at, sizeof(extended_at));
    std::byte* const extended = frame.data() + kFrameHead;
    std::memcpy(extended, registers.extended.data(), usable.size);
    const auto size = static_cast<std::uint32_t>(usable.size);
    const std::array<std::uint32_t, 2> head = {kMagic1, size + static_cast<std::uint32_t>(sizeof(kMagic2))};
    std::memcpy(extended + kSoftwareBytes, head.data(), sizeof(head));
    std::memcpy(extended + kSoftwareBytes + 8, &usable.features, sizeof(usable.features));
    std::memcpy(extended + kSoftwareBytes + 16, &size, sizeof(size));
    std::memcpy(extended + usable.size, &kMagic2, sizeof(kMagic2));
  }
  std::memcpy(frame.data(), &gadgets.signal_return, sizeof(gadgets.signal_return));
  std::memcpy(frame.data() + 8, &context, kContextSize);
  return frame;
}

user_regs_struct returning(const user_regs_struct& from, const Gadgets& gadgets, std::uint64_t frame) {
  user_regs_struct registers = from;
  registers.rip = gadgets.signal_return;
  registers.rsp = frame + 8;  // as if the frame's first word had been popped by a `ret`
  registers.orig_rax = kNoCall;
  return registers;
}

user_regs_struct calling(const user_regs_struct& from, const Gadgets& gadgets, std::uint64_t stack, long number,
                         const std::array<std::uint64_t, 6>& arguments) {
  user_regs_struct registers = from;
  registers.rip = gadgets.system_call;
  registers.rsp = stack;
  registers.rax = static_cast<unsigned long long>(number);
  registers.orig_rax = kNoCall;
  registers.eflags = kPlainFlags;
  registers.rdi = arguments[0];
  registers.rsi = arguments[1];
  registers.rdx = arguments[2];
  registers.r10 = arguments[3];
  registers.r8 = arguments[4];
  registers.r9 = arguments[5];
  return registers;
}

bool is_restart(std::int64_t result) { return result <= kRestartSys && result >= kRestartBlock; }

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
