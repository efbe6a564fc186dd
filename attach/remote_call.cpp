#include "attach/remote_call.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string_view>

#include "attach/base/error.h"
#include "attach/tracee_wait.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

constexpr std::uint64_t kRedZone = 128;
constexpr std::uint64_t kAllSignals = ~0ull;
constexpr std::size_t kNameSize = 64;  // 16, and the frames' alignment
// A remote system call that takes longer is not ours to wait for: we only use calls that return at once, but for the
// page table copy of a large clone.
constexpr std::chrono::seconds kCallLimit{60};

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

// A signal that a call of ours may have brought about. SIGKILL comes from somebody else, and ends a stopped thread too.
bool is_fault(int signal) { return signal != 0 && signal != SIGKILL; }

// Of a thread that is ending: the signal that ends it; 0: none, or nobody can tell.
int last_signal(pid_t tid) {
  constexpr std::chrono::seconds kLongest{1};
  const auto deadline = steady_clock::now() + kLongest;
  for (siginfo_t info{}; steady_clock::now() < deadline; ::usleep(500)) {
    if (::waitid(P_PID, static_cast<id_t>(tid), &info, WEXITED | WNOWAIT | WNOHANG | __WALL) < 0) return 0;
    if (info.si_pid == tid) return info.si_code == CLD_EXITED ? 0 : info.si_status;
  }
  return 0;
}

[[noreturn]] void throw_lost(pid_t tid, int signal) {
  if (is_fault(signal)) {
    throw Error(ExitCode::kTargetHarmed,
                fmt::format("signal {} ended thread {} during a remote system call", signal, tid), "");
  }
  throw Error(ExitCode::kNoSuchProcess, fmt::format("the process of thread {} was ended meanwhile", tid), "");
}
[[noreturn]] void throw_lost(pid_t tid) { throw_lost(tid, last_signal(tid)); }

// The next stop of one thread, within the limit of a remote call.
int wait_status(pid_t tid) {
  constexpr int kTightSpins = 50;  // more would take the CPU from the call that is waited for
  const auto deadline = steady_clock::now() + kCallLimit;
  for (int spins = 0;; ++spins) {
    int status = 0;
    const pid_t got = look_at_tracee(tid, &status);
    if (got == tid && WIFSTOPPED(status)) return status;
    if (got == tid) throw_lost(tid, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    if (got != 0) throw_lost(tid);
    if (steady_clock::now() > deadline) {
      throw Error(ExitCode::kGaveUp, fmt::format("a system call in thread {} did not return", tid), "");
    }
    if (spins > kTightSpins) ::usleep(20);
  }
}

// A signal that arrived is passed on: blocked ones stay pending, so it is a SIGSTOP.
int signal_to_deliver(int status) {
  const int signal = WSTOPSIG(status);
  return status >> 16 == 0 && signal != (SIGTRAP | 0x80) ? signal : 0;
}

void go_on(__ptrace_request how, pid_t tid, int signal) {
  if (ptrace(how, tid, nullptr, static_cast<std::uintptr_t>(signal)) < 0) throw_lost(tid);
}

void set_registers(pid_t tid, const user_regs_struct& registers) {
  if (ptrace(PTRACE_SETREGS, tid, nullptr, &registers) < 0) throw_lost(tid);
}

}  // namespace

RemoteCall::RemoteCall(pid_t pid, pid_t tid, const MemoryMap& map, const Gadgets& gadgets, SeccompGate gate)
    : pid_(pid), tid_(tid), gadgets_(gadgets), gate_(std::move(gate)), saved_(ThreadRegisters::save(tid)) {
  if (has_shadow_stack(pid, tid)) {
    throw Error(ExitCode::kGaveUp, fmt::format("thread {} has a shadow stack: no call can be forced on it", tid), "");
  }
  constexpr std::size_t kChildFrames = 2;
  const ThreadRegisters plain{.general = saved_.general, .extended = {}, .signal_mask = kAllSignals};
  frames_size_ = return_frame_size(saved_) + kChildFrames * return_frame_size(plain) + kNameSize + kScratchSize;
  if (place_on_stack(frames_size_, map)) {
    write_frames(own_frame_);
    park();
  } else {
    move_to_own_mapping(map);
  }
}

RemoteCall::~RemoteCall() {
  try {
    restore();
  } catch (const Error&) {  // the thread is gone: nothing is left to restore
  }
}

// Below the red zone, inside the mapping the stack pointer is in: a remote write does not grow a stack, and below the
// mapping may lie somebody else's.
bool RemoteCall::place_on_stack(std::size_t room, const MemoryMap& map) {
  const Mapping* const stack = map.find(saved_.general.rsp);
  if (stack == nullptr || !stack->writable || saved_.general.rsp - stack->begin < room + kRedZone + 64) return false;
  own_frame_ = (saved_.general.rsp - kRedZone - room) & ~63ull;
  return true;
}

// The thread's own way back; the child's: it names itself, then exits; the name.
void RemoteCall::write_frames(std::uint64_t begin) {
  const auto own = return_frame(restarted(saved_), gadgets_, begin);
  ThreadRegisters plain{.general = saved_.general, .extended = {}, .signal_mask = kAllSignals};
  child_frame_ = begin + own.size();
  const std::uint64_t exit_frame = child_frame_ + return_frame_size(plain);
  const std::uint64_t name = exit_frame + return_frame_size(plain);
  plain.general = calling(saved_.general, gadgets_, exit_frame, SYS_prctl, {PR_SET_NAME, name, 0, 0, 0, 0});
  const auto naming = return_frame(plain, gadgets_, child_frame_);
  plain.general = calling(saved_.general, gadgets_, exit_frame, SYS_exit_group, {});
  const auto exiting = return_frame(plain, gadgets_, exit_frame);
  std::vector<std::byte> all(own);
  all.insert(all.end(), naming.begin(), naming.end());
  all.insert(all.end(), exiting.begin(), exiting.end());
  all.resize(frames_size_);
  std::memcpy(all.data() + (name - begin), kChildName, std::strlen(kChildName));
  if (!write_memory(pid_, begin, all)) {
    throw Error(ExitCode::kGaveUp, fmt::format("the stack of thread {} cannot be written", tid_), "");
  }
  own_frame_ = begin;
  scratch_ = name + kNameSize;
}

// On a stack that is nearly full only the short frame has room. It covers the mmap that makes room for the others; a
// thread inside a system call keeps nothing in its extended registers that it would miss.
void RemoteCall::move_to_own_mapping(const MemoryMap& map) {
  const ThreadRegisters brief{.general = saved_.general, .extended = {}, .signal_mask = saved_.signal_mask};
  if (!in_system_call(saved_.general) || !place_on_stack(return_frame_size(brief), map) ||
      !write_memory(pid_, own_frame_, return_frame(restarted(brief), gadgets_, own_frame_))) {
    throw Error(ExitCode::kGaveUp, fmt::format("thread {} has no room on its stack", tid_), "");
  }
  short_frame_ = own_frame_;
  park();
  try {
    const std::int64_t got =
        call(SYS_mmap, {0, frames_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0}).value;
    if (got < 0) throw Error(ExitCode::kGaveUp, fmt::format("mmap: {}", std::strerror(static_cast<int>(-got))), "");
    mapping_ = static_cast<std::uint64_t>(got);
    write_frames(mapping_);
  } catch (const Error&) {
    restore();
    throw;
  }
}

// Registers first: from then on the thread, let go, would restore itself; with only its signals blocked it would not.
void RemoteCall::park() {
  set_registers(tid_, returning(saved_.general, gadgets_, own_frame_));
  if (ptrace(PTRACE_SETSIGMASK, tid_, sizeof(kAllSignals), &kAllSignals) < 0) throw_lost(tid_);
}

RemoteCall::Result RemoteCall::call(long number, const CallArguments& arguments) {
  constexpr std::size_t kSystemCallLength = 2;
  if (!gate_.allows(number, arguments, gadgets_.system_call + kSystemCallLength)) {
    throw Error(ExitCode::kGaveUp, fmt::format("its seccomp filter forbids system call {}", number), "");
  }
  const user_regs_struct registers = calling(saved_.general, gadgets_, own_frame_, number, arguments);
  constexpr int kAttempts = 100;
  Result result;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {  // a group stop that begins just now interrupts a clone
    result = run(registers);
    if (!is_restart(result.value)) break;
  }
  return result;
}

RemoteCall::Result RemoteCall::clone_child() {
  // CLONE_FILES, or a pipe's end of file would wait for the child; exit signal 0, or the target would see SIGCHLD.
  return call(SYS_clone, {CLONE_FILES | CLONE_FS, child_frame_, 0, 0, 0, 0});
}

RemoteCall::Result RemoteCall::run(const user_regs_struct& registers) {
  set_registers(tid_, registers);
  Result result;
  int signal = 0;
  for (int system_call_stops = 0; system_call_stops < 2;) {
    go_on(PTRACE_SYSCALL, tid_, signal);
    const int status = wait_status(tid_);
    const int event = status >> 16;
    signal = signal_to_deliver(status);
    if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
      unsigned long child = 0;
      ptrace(PTRACE_GETEVENTMSG, tid_, nullptr, &child);
      result.child = static_cast<pid_t>(child);
    } else if (event == 0 && signal == 0) {
      ++system_call_stops;
    }
  }
  user_regs_struct after{};
  if (ptrace(PTRACE_GETREGS, tid_, nullptr, &after) < 0) throw_lost(tid_);
  result.value = call_result(after);
  return result;
}

// From a stop at the end of our call to a stop of the kind INTERRUPT makes: only from there the kernel applies its own
// restart rules to the registers that are put back.
void RemoteCall::stop_again() {
  if (ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr) < 0) throw_lost(tid_);
  for (int signal = 0;;) {
    go_on(PTRACE_CONT, tid_, signal);
    const int status = wait_status(tid_);
    if (status >> 16 == PTRACE_EVENT_STOP) return;
    signal = signal_to_deliver(status);
  }
}

bool RemoteCall::restore() {
  if (restored_) return true;
  restored_ = true;
  bool clean = true;
  if (mapping_ != 0) {
    own_frame_ = short_frame_;
    clean = call(SYS_munmap, {mapping_, frames_size_, 0, 0, 0, 0}).value == 0;
  }
  stop_again();
  saved_.restore(tid_);
  return saved_.equals(tid_) && clean;
}

}  // namespace memsnap
