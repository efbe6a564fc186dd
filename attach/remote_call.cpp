#include "attach/remote_call.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <span>
#include <string_view>
#include <vector>

#include "attach/base/error.h"

namespace memsnap {
namespace {

using std::string_view_literals::operator""sv;
using std::chrono::steady_clock;

constexpr std::string_view kSystemCall = "\x0f\x05\xc3"sv;                            // syscall; ret
constexpr std::string_view kSignalReturn = "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"sv;  // mov $15, %rax; syscall
constexpr std::uint64_t kRedZone = 128;
constexpr std::size_t kMaxText = 64u << 20;
// A remote system call that takes longer is not ours to wait for: we only use calls that return at once, but for the
// page table copy of a large clone.
constexpr std::chrono::seconds kCallLimit{60};

bool is_c_library(const Mapping& mapping) {
  return mapping.name.find("libc") != std::string::npos || mapping.name.find("musl") != std::string::npos;
}

std::string read_text(const Mapping& mapping, const ProcessMemory& memory) {
  std::string text(std::min<std::uint64_t>(mapping.size(), kMaxText), '\0');
  if (!memory.copy(mapping.begin, std::as_writable_bytes(std::span(text)))) text.clear();
  return text;
}

bool has_shadow_stack(pid_t pid, pid_t tid) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/status", pid, tid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("x86_Thread_features:")) return line.find("shstk") != std::string::npos;
  }
  return false;
}

bool write_memory(pid_t pid, std::uint64_t address, std::span<const std::byte> bytes) {
  const iovec local{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const iovec remote{reinterpret_cast<void*>(address), bytes.size()};
  return ::process_vm_writev(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size());
}

[[noreturn]] void throw_lost(pid_t tid, const char* when) {
  throw Error(ExitCode::kTargetHarmed, fmt::format("thread {} ended {}", tid, when), "");
}

// The next stop of one thread, within the limit of a remote call.
int wait_status(pid_t tid) {
  const auto deadline = steady_clock::now() + kCallLimit;
  for (int spins = 0;; ++spins) {
    int status = 0;
    const pid_t got = ::waitpid(tid, &status, __WALL | WNOHANG);
    if (got == tid) return status;
    if (got < 0) throw_lost(tid, "during a remote system call");
    if (steady_clock::now() > deadline) {
      throw Error(ExitCode::kGaveUp, fmt::format("a system call in thread {} did not return", tid), "");
    }
    if (spins > 2000) ::usleep(50);
  }
}

}  // namespace

std::optional<Gadgets> find_gadgets(const MemoryMap& map, const ProcessMemory& memory) {
  Gadgets gadgets;
  for (const bool want_c_library : {true, false}) {
    for (const Mapping& mapping : map.mappings()) {
      if (!mapping.executable || !mapping.readable || mapping.name == "[vsyscall]") continue;
      if (is_c_library(mapping) != want_c_library) continue;
      const std::string text = read_text(mapping, memory);
      if (const auto at = text.find(kSystemCall); gadgets.system_call == 0 && at != std::string::npos) {
        gadgets.system_call = mapping.begin + at;
      }
      if (const auto at = text.find(kSignalReturn); gadgets.signal_return == 0 && at != std::string::npos) {
        gadgets.signal_return = mapping.begin + at;
      }
      if (gadgets.system_call != 0 && gadgets.signal_return != 0) return gadgets;
    }
  }
  return std::nullopt;
}

bool may_borrow(pid_t tid, const ProcessMemory& memory) {
  user_regs_struct registers{};
  if (ptrace(PTRACE_GETREGS, tid, nullptr, &registers) < 0) return false;
  if (in_system_call(registers)) return true;
  // rseq(2): a thread outside a system call may be inside a restartable sequence; rseq_cs says so. Linux 5.13+.
  struct {
    std::uint64_t abi_pointer;
    std::uint32_t abi_size, signature, flags, pad;
  } rseq{};
  constexpr auto kGetRseq = static_cast<__ptrace_request>(0x420f);  // PTRACE_GET_RSEQ_CONFIGURATION
  if (ptrace(kGetRseq, tid, sizeof(rseq), &rseq) < 0) return false;
  if (rseq.abi_pointer == 0) return true;
  return memory.try_read<std::uint64_t>(rseq.abi_pointer + 8) == std::uint64_t{0};
}

RemoteCall::RemoteCall(pid_t pid, pid_t tid, const MemoryMap& map, const Gadgets& gadgets)
    : pid_(pid), tid_(tid), map_(map), gadgets_(gadgets), saved_(ThreadRegisters::save(tid)) {
  if (has_shadow_stack(pid, tid)) {
    throw Error(ExitCode::kGaveUp, fmt::format("thread {} has a shadow stack: no call can be forced on it", tid), "");
  }
  write_frames();
  const std::uint64_t all = ~0ull;
  if (ptrace(PTRACE_SETSIGMASK, tid, sizeof(all), &all) < 0) throw_lost(tid, "before a remote system call");
}

RemoteCall::~RemoteCall() {
  try {
    restore();
  } catch (const Error&) {  // the thread is gone: nothing is left to restore
  }
}

void RemoteCall::write_frames() {
  const std::size_t size = return_frame_size(saved_);
  const std::uint64_t top = (saved_.general.rsp - kRedZone) & ~63ull;
  const std::uint64_t begin = top - 2 * size;
  const Mapping* const stack = map_.find(saved_.general.rsp);
  if (stack == nullptr || !stack->writable || begin < stack->begin || begin > top) {
    throw Error(ExitCode::kGaveUp, fmt::format("thread {} has no room on its stack", tid_), "");
  }
  own_frame_ = begin;
  child_frame_ = begin + size;
  const auto own = return_frame(restarted(saved_), gadgets_, own_frame_);
  const auto child = return_frame(exiting(saved_, gadgets_), gadgets_, child_frame_);
  if (!write_memory(pid_, own_frame_, own) || !write_memory(pid_, child_frame_, child)) {
    throw Error(ExitCode::kGaveUp, fmt::format("the stack of thread {} cannot be written", tid_), "");
  }
}

RemoteCall::Result RemoteCall::call(long number, std::array<std::uint64_t, 6> arguments) {
  user_regs_struct registers = saved_.general;
  registers.rip = gadgets_.system_call;
  registers.rsp = own_frame_;
  registers.rax = static_cast<unsigned long long>(number);
  registers.orig_rax = ~0ull;  // not in a system call: the kernel must not restart anything
  registers.rdi = arguments[0];
  registers.rsi = arguments[1];
  registers.rdx = arguments[2];
  registers.r10 = arguments[3];
  registers.r8 = arguments[4];
  registers.r9 = arguments[5];
  return run(registers);
}

RemoteCall::Result RemoteCall::clone_child() {
  // CLONE_FILES, or a pipe's end of file would wait for the child; exit signal 0, or the target would see SIGCHLD.
  return call(SYS_clone, {CLONE_FILES | CLONE_FS, child_frame_, 0, 0, 0, 0});
}

RemoteCall::Result RemoteCall::run(user_regs_struct registers) {
  if (ptrace(PTRACE_SETREGS, tid_, nullptr, &registers) < 0) throw_lost(tid_, "before a remote system call");
  Result result;
  int system_call_stops = 0;
  while (system_call_stops < 2) {
    if (ptrace(PTRACE_SYSCALL, tid_, nullptr, nullptr) < 0) throw_lost(tid_, "during a remote system call");
    const int status = wait_status(tid_);
    if (!WIFSTOPPED(status)) throw_lost(tid_, "during a remote system call");
    const int event = status >> 16;
    if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
      unsigned long child = 0;
      ptrace(PTRACE_GETEVENTMSG, tid_, nullptr, &child);
      result.child = static_cast<pid_t>(child);
    } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      ++system_call_stops;
    }
  }
  user_regs_struct after{};
  if (ptrace(PTRACE_GETREGS, tid_, nullptr, &after) < 0) throw_lost(tid_, "after a remote system call");
  result.value = static_cast<std::int64_t>(after.rax);
  return result;
}

// From a stop at the end of our call to a stop of the kind INTERRUPT makes: only from there the kernel applies its own
// restart rules to the registers that are put back.
void RemoteCall::stop_again() {
  if (ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr) < 0) throw_lost(tid_, "after a remote system call");
  for (;;) {
    if (ptrace(PTRACE_CONT, tid_, nullptr, nullptr) < 0) throw_lost(tid_, "after a remote system call");
    const int status = wait_status(tid_);
    if (!WIFSTOPPED(status)) throw_lost(tid_, "after a remote system call");
    if (status >> 16 == PTRACE_EVENT_STOP) return;
  }
}

bool RemoteCall::restore() {
  if (restored_) return true;
  restored_ = true;
  stop_again();
  saved_.restore(tid_);
  return saved_.equals(tid_);
}

}  // namespace memsnap
