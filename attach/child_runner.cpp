#include "attach/child_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/system_call_guard.h"
#include "attach/tracee_wait.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kWatchEvery{10};
constexpr milliseconds kWatchLimitEvery{3};
constexpr int kFirst = -20;  // setpriority(2): before all others
constexpr std::chrono::seconds kStopLimit{10};
constexpr int kSystemCallStop = SIGTRAP | 0x80;  // with PTRACE_O_TRACESYSGOOD
constexpr unsigned long long kNoCall = ~0ull;

bool failed(std::int64_t result) { return result < 0 && result > -4096; }

// Whether a child must go because a memory limit comes near. A process that was killed gives its memory back in its own
// time, and the kernel no longer sees it: it would take the target for what is written meanwhile.
class LimitWatcher {
 public:
  explicit LimitWatcher(const std::vector<MemoryLimit>& limits)
      : limits_(limits), least_(last_headroom(limits)), room_(headroom()), at_(steady_clock::now()) {}

  bool must_end() {
    if (limits_.empty()) return false;
    const std::uint64_t room = headroom();
    const auto now = steady_clock::now();
    if (now - at_ < kMeasuredOver) return room < least_;
    const double lost = static_cast<double>(room_ - std::min(room_, room));
    const double share = std::chrono::duration<double>(kGivingBack) / std::chrono::duration<double>(now - at_);
    room_ = room;
    at_ = now;
    return room < least_ || static_cast<double>(room) < lost * share;
  }

 private:
  static constexpr milliseconds kGivingBack{150};
  static constexpr milliseconds kMeasuredOver{8};
  std::uint64_t headroom() const { return memory_headroom(limits_).value_or(~0ull); }

  const std::vector<MemoryLimit>& limits_;
  std::uint64_t least_;
  std::uint64_t room_;
  steady_clock::time_point at_;
};

}  // namespace

ChildRunner::ChildRunner(const SameProgram& target, pid_t child, const Gadgets& gadgets, SeccompGate gate,
                         std::function<void()> while_waiting)
    : target_(target),
      pid_(child),
      gadgets_(gadgets),
      gate_(std::move(gate)),
      while_waiting_(std::move(while_waiting)),
      limits_(memory_limits(child)) {
  int status = 0;  // its first stop, before any instruction of its own
  if (!wait_status(steady_clock::now() + kStopLimit, &status) || ptrace(PTRACE_GETREGS, pid_, nullptr, &birth_) < 0) {
    kill();
    throw Error(ExitCode::kGaveUp, "the frozen child ended at birth", "its memory limit may be too near");
  }
  // Under a memory limit the kernel then takes the child first.
  std::ofstream(fmt::format("/proc/{}/oom_score_adj", pid_)) << 1000;
  const int options = PTRACE_O_TRACESYSGOOD | (gate_.suspended() ? PTRACE_O_SUSPEND_SECCOMP : 0);
  ptrace(PTRACE_SETOPTIONS, pid_, nullptr, options);
  name_it();  // before EXITKILL: until it has its name, it names itself and exits when we are gone
  ptrace(PTRACE_SETOPTIONS, pid_, nullptr, options | PTRACE_O_EXITKILL);
  watcher_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

ChildRunner::~ChildRunner() { kill(); }

void ChildRunner::watch(const std::stop_token& stop) {
  LimitWatcher limit(limits_);
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  // Whoever writes much keeps the processors busy: to be in time this must not wait for one. Not everyone may have
  // that.
  const milliseconds every = limits_.empty() ? kWatchEvery : kWatchLimitEvery;
  if (!limits_.empty()) ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kFirst);
  while (!changed.wait_for(lock, stop, every, [&] { return stop.stop_requested(); })) {
    // The child shares the target's descriptors: it must not keep its ports open when the target is gone.
    const bool end = !target_.still() || limit.must_end();
    if (!end) continue;
    // Not reaped yet, so the pid is still the child's. Only its end goes before others: while it walks the target does.
    if (!limits_.empty()) ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid_), kFirst);
    if (::kill(pid_, SIGKILL) != 0) doomed_ = true;
  }
}

void ChildRunner::name_it() {
  const std::uint64_t at = (birth_.rsp - 4096) & ~63ull;  // the child's own copy of the stack, below all frames
  std::array<char, 16> name{};
  std::strncpy(name.data(), kChildName, name.size() - 1);
  const iovec local{name.data(), name.size()};
  const iovec remote{reinterpret_cast<void*>(at), name.size()};
  if (::process_vm_writev(pid_, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(name.size())) return;
  system_call(SYS_prctl, {PR_SET_NAME, at, 0, 0, 0, 0});
}

void ChildRunner::protect_shared(const MemoryMap& map) {
  safe_ = true;
  for (const Mapping& mapping : map.mappings()) {
    if (!mapping.shared || !mapping.writable) continue;
    const std::uint64_t size = mapping.size();
    if (system_call(SYS_mprotect, {mapping.begin, size, PROT_READ, 0, 0, 0}) == 0) continue;
    if (system_call(SYS_munmap, {mapping.begin, size, 0, 0, 0, 0}) != 0) safe_ = false;
  }
}

std::int64_t ChildRunner::system_call(long number, const CallArguments& arguments) {
  if (!gate_.allows(number, arguments, gadgets_.system_call + 2)) return -EPERM;
  user_regs_struct registers = calling(birth_, gadgets_, birth_.rsp, number, arguments);
  if (ended_ || ptrace(PTRACE_SETREGS, pid_, nullptr, &registers) < 0) return -ESRCH;
  const auto deadline = steady_clock::now() + kStopLimit;
  for (int stops = 0; stops < 2;) {
    int status = 0;
    if (ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) < 0 || !wait_status(deadline, &status)) return -ESRCH;
    if (WSTOPSIG(status) == kSystemCallStop) ++stops;
  }
  if (ptrace(PTRACE_GETREGS, pid_, nullptr, &registers) < 0) return -ESRCH;
  return call_result(registers);
}

std::uint64_t ChildRunner::map(std::size_t size, bool executable) {
  const std::uint64_t protection = PROT_READ | (executable ? PROT_EXEC : PROT_WRITE);
  const auto got = system_call(SYS_mmap, {0, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0});
  if (!failed(got)) return static_cast<std::uint64_t>(got);
  throw Error(ExitCode::kInternal,
              fmt::format("mapping {} bytes in the frozen child: {}", size, std::strerror(static_cast<int>(-got))), "");
}

std::uint64_t ChildRunner::reserve(std::size_t size) {
  constexpr std::uint64_t kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const auto got = system_call(SYS_mmap, {0, size, PROT_READ | PROT_WRITE, kFlags, ~0ull, 0});
  return failed(got) ? 0 : static_cast<std::uint64_t>(got);
}

void ChildRunner::write(std::uint64_t address, std::span<const std::byte> bytes) {
  const iovec local{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const iovec remote{reinterpret_cast<void*>(address), bytes.size()};
  if (::process_vm_writev(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size())) return;
  // Code is mapped without write permission: ptrace's way goes past that.
  const FileDescriptor file(::open(fmt::format("/proc/{}/mem", pid_).c_str(), O_WRONLY | O_CLOEXEC));
  if (file && ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(address)) ==
                  static_cast<ssize_t>(bytes.size())) {
    return;
  }
  throw Error(ExitCode::kGaveUp, "the frozen child cannot be written: it was killed, or its memory limit is too near",
              "");
}

void ChildRunner::prepare_call(std::uint64_t entry, std::uint64_t argument, std::uint64_t stack_top) {
  user_regs_struct registers = calling(birth_, gadgets_, (stack_top & ~15ull) - 8, 0, {argument});
  registers.rip = entry;  // the stack is as if just called
  user_fpregs_struct floating{};
  floating.cwd = 0x37f;  // as at a program's start, whatever the thread was computing
  floating.mxcsr = 0x1f80;
  ptrace(PTRACE_SETFPREGS, pid_, nullptr, &floating);
  ptrace(PTRACE_SETREGS, pid_, nullptr, &registers);
}

void ChildRunner::resume_async() {
  if (!ended_) ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr);  // a failure is a death: the wait sees it
}

ChildStop ChildRunner::resume(milliseconds slice) {
  resume_async();
  return wait(slice);
}

// True: stopped. False: still running at the deadline, or ended.
bool ChildRunner::wait_status(TimePoint deadline, int* status) {
  constexpr int kTightSpins = 200;
  for (int spins = 0; !ended_; ++spins) {
    const pid_t got = ::waitpid(pid_, status, __WALL | WNOHANG);
    if (got == pid_ && WIFSTOPPED(*status)) return true;
    if (got != 0) {
      ended_ = true;
      return false;
    }
    while_waiting_();
    if (doomed_.exchange(false)) kill_tracee(pid_);
    if (steady_clock::now() >= deadline) return false;
    if (spins > kTightSpins) ::usleep(50);
  }
  return false;
}

ChildStop ChildRunner::wait(milliseconds slice) {
  const auto deadline = steady_clock::now() + slice;
  for (;;) {
    int status = 0;
    if (!wait_status(deadline, &status)) return ended_ ? ChildStop{.kind = ChildStop::Kind::kEnded} : stop_now();
    if (const auto stop = judge(status)) return *stop;
    // It made a call that is let through, or something from outside passed over it.
    if (steady_clock::now() >= deadline) return {.kind = ChildStop::Kind::kDeadline};
    resume_async();
  }
}

// What a stop means; empty when it is not of the child's own making, or of no interest. It is stopped in any case.
std::optional<ChildStop> ChildRunner::judge(int status) {
  const int signal = WSTOPSIG(status);
  if (signal == kSystemCallStop) return on_system_call();
  if (status >> 16 != 0) return std::nullopt;
  siginfo_t info{};
  ptrace(PTRACE_GETSIGINFO, pid_, nullptr, &info);
  // A signal to the whole process group reaches the child too; all that can be blocked are.
  if (signal == SIGSTOP || signal == SIGCONT) return std::nullopt;
  if (signal == SIGTRAP) return ChildStop{.kind = ChildStop::Kind::kTrap};
  return ChildStop{.kind = ChildStop::Kind::kSignal,
                   .signal = signal,
                   .fault_address = reinterpret_cast<std::uint64_t>(info.si_addr)};
}

// Still running when the slice was over.
ChildStop ChildRunner::stop_now() {
  const auto deadline = steady_clock::now() + kStopLimit;
  ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr);
  int status = 0;
  if (wait_status(deadline, &status)) {
    // What it did just before our stop counts. Our stop may then come later, and is passed over.
    return judge(status).value_or(ChildStop{.kind = ChildStop::Kind::kDeadline});
  }
  kill_tracee(pid_);
  return {.kind = ChildStop::Kind::kEnded};
}

// At the entry of a system call: lets a harmless one through to its exit, cancels any other.
std::optional<ChildStop> ChildRunner::on_system_call() {
  user_regs_struct registers{};
  if (ptrace(PTRACE_GETREGS, pid_, nullptr, &registers) < 0) return ChildStop{.kind = ChildStop::Kind::kEnded};
  const auto number = static_cast<std::int64_t>(registers.orig_rax);
  const bool harmless = is_harmless_call(registers, LiveMemory(pid_));
  if (!harmless) {
    registers.orig_rax = kNoCall;
    ptrace(PTRACE_SETREGS, pid_, nullptr, &registers);
  }
  const auto deadline = steady_clock::now() + kStopLimit;
  int status = 0;
  do {  // to its exit
    if (ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) < 0 || !wait_status(deadline, &status)) {
      return ChildStop{.kind = ChildStop::Kind::kEnded};
    }
  } while (WSTOPSIG(status) != kSystemCallStop);
  if (harmless) return std::nullopt;
  return ChildStop{.kind = ChildStop::Kind::kSystemCall, .system_call = number};
}

double ChildRunner::cpu_ms() const {
  std::ifstream file(fmt::format("/proc/{}/schedstat", pid_));  // first number: ns on a CPU
  double nanoseconds = 0;
  if (pid_ != 0 && file >> nanoseconds) return nanoseconds / 1e6;
  return last_cpu_ms_;
}

void ChildRunner::kill() {
  watcher_ = {};  // joins: nothing else may signal the pid from here on
  if (pid_ == 0) return;
  last_cpu_ms_ = cpu_ms();
  if (!ended_) kill_tracee(pid_);
  const auto deadline = steady_clock::now() + kStopLimit;
  for (int status = 0; !ended_ && wait_status(deadline, &status);) continue;
  ended_ = true;
  pid_ = 0;
}

}  // namespace memsnap
