#include "attach/child_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/forked_process.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kWatchEvery{20};
constexpr milliseconds kSystemCallLimit{10000};
constexpr std::uint64_t kLastHeadroom = 16u << 20;  // below it the child is killed
constexpr int kSystemCallStop = SIGTRAP | 0x80;     // with PTRACE_O_TRACESYSGOOD

bool is_allowed(const user_regs_struct& registers) {
  switch (registers.orig_rax) {
    case SYS_brk:
    case SYS_munmap:
    case SYS_madvise:
      return true;
    case SYS_mmap:
      return (registers.r10 & MAP_ANONYMOUS) != 0 && (registers.r10 & MAP_PRIVATE) != 0;
    default:
      return false;
  }
}

// Changes when the process execs: where its program's code and stack begin, fields 26 and 28 of proc_pid_stat(5).
std::string program_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::ostringstream text;
  text << file.rdbuf();
  const std::string line = text.str();
  const std::size_t close = line.rfind(')');
  if (close == std::string::npos) return {};
  std::istringstream fields(line.substr(close + 1));
  std::string word, found;
  for (int field = 3; field <= 28 && fields >> word; ++field) {
    if (field == 26 || field == 28) found += word + ' ';
  }
  return found;
}

}  // namespace

ChildRunner::ChildRunner(const ProcessId& target, pid_t child, const MemoryMap& map, const Gadgets& gadgets)
    : target_(target), pid_(child), gadgets_(gadgets), limits_(memory_limits(child)) {
  ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
  // Under a memory limit the kernel then takes the child first.
  std::ofstream(fmt::format("/proc/{}/oom_score_adj", pid_)) << 1000;
  if (ptrace(PTRACE_GETREGS, pid_, nullptr, &birth_) < 0) {
    throw Error(ExitCode::kGaveUp, "the frozen child ended at birth", "");
  }
  watcher_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
  name_it();
  protect_shared(map);
}

ChildRunner::~ChildRunner() { kill(); }

void ChildRunner::watch(const std::stop_token& stop) {
  const std::string program = program_of(target_.pid());
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(kWatchEvery);
    // The child shares the target's descriptors: it must not keep its ports open when the target is gone.
    bool end = !target_.alive() || program_of(target_.pid()) != program;
    if (!limits_.empty()) end = end || memory_headroom(limits_).value_or(kLastHeadroom) < kLastHeadroom;
    if (end) ::kill(pid_, SIGKILL);  // not reaped yet, so the pid is still the child's
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
  for (const Mapping& mapping : map.mappings()) {
    if (!mapping.shared || !mapping.writable) continue;
    const std::uint64_t size = mapping.size();
    if (system_call(SYS_mprotect, {mapping.begin, size, PROT_READ, 0, 0, 0}) == 0) continue;
    if (system_call(SYS_munmap, {mapping.begin, size, 0, 0, 0, 0}) != 0) safe_ = false;
  }
}

std::int64_t ChildRunner::system_call(long number, std::array<std::uint64_t, 6> arguments) {
  user_regs_struct registers = birth_;
  registers.rip = gadgets_.system_call;
  registers.rax = static_cast<unsigned long long>(number);
  registers.orig_rax = ~0ull;
  registers.rdi = arguments[0];
  registers.rsi = arguments[1];
  registers.rdx = arguments[2];
  registers.r10 = arguments[3];
  registers.r8 = arguments[4];
  registers.r9 = arguments[5];
  if (ended_ || ptrace(PTRACE_SETREGS, pid_, nullptr, &registers) < 0) return -ESRCH;
  for (int stops = 0; stops < 2;) {
    int status = 0;
    if (ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) < 0 || !wait_status(kSystemCallLimit, &status)) return -ESRCH;
    if (WSTOPSIG(status) == kSystemCallStop) ++stops;
  }
  if (ptrace(PTRACE_GETREGS, pid_, nullptr, &registers) < 0) return -ESRCH;
  return static_cast<std::int64_t>(registers.rax);
}

std::uint64_t ChildRunner::map(std::size_t size, bool executable) {
  const std::uint64_t protection = PROT_READ | (executable ? PROT_EXEC : PROT_WRITE);
  const auto got = system_call(SYS_mmap, {0, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0});
  if (got < 0 && got > -4096) {
    throw Error(ExitCode::kInternal,
                fmt::format("mapping {} bytes in the frozen child: {}", size, std::strerror(static_cast<int>(-got))),
                "");
  }
  return static_cast<std::uint64_t>(got);
}

std::uint64_t ChildRunner::reserve(std::size_t size) {
  constexpr std::uint64_t kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const auto got = system_call(SYS_mmap, {0, size, PROT_READ | PROT_WRITE, kFlags, ~0ull, 0});
  return got < 0 && got > -4096 ? 0 : static_cast<std::uint64_t>(got);
}

void ChildRunner::write(std::uint64_t address, std::span<const std::byte> bytes) {
  const iovec local{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const iovec remote{reinterpret_cast<void*>(address), bytes.size()};
  if (::process_vm_writev(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes.size())) return;
  // Code is mapped without write permission: ptrace's way goes past that.
  const FileDescriptor file(::open(fmt::format("/proc/{}/mem", pid_).c_str(), O_WRONLY | O_CLOEXEC));
  if (::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(address)) ==
      static_cast<ssize_t>(bytes.size()))
    return;
  throw Error(ExitCode::kGaveUp, "the frozen child cannot be written: it was killed, or its memory limit is too near",
              "");
}

void ChildRunner::prepare_call(std::uint64_t entry, std::uint64_t argument, std::uint64_t stack_top) {
  user_regs_struct registers = birth_;
  registers.rip = entry;
  registers.rdi = argument;
  registers.rsp = (stack_top & ~15ull) - 8;  // as if just called
  registers.rax = 0;
  registers.orig_rax = ~0ull;
  registers.eflags = 0x202;
  if (ptrace(PTRACE_SETREGS, pid_, nullptr, &registers) < 0) ended_ = true;
}

void ChildRunner::resume_async() {
  if (!ended_ && ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) < 0) ended_ = true;
}

ChildStop ChildRunner::resume(milliseconds slice) {
  resume_async();
  return wait(slice);
}

bool ChildRunner::wait_status(milliseconds slice, int* status) {
  const auto deadline = steady_clock::now() + slice;
  for (int spins = 0; !ended_; ++spins) {
    const pid_t got = ::waitpid(pid_, status, __WALL | WNOHANG);
    if (got == pid_ && WIFSTOPPED(*status)) return true;
    if (got != 0) {
      ended_ = true;
      return false;
    }
    if (spins > 500) {
      if (steady_clock::now() >= deadline) return false;
      ::usleep(50);
    }
  }
  return false;
}

ChildStop ChildRunner::wait(milliseconds slice) {
  const auto deadline = steady_clock::now() + slice;
  for (;;) {
    int status = 0;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    if (!wait_status(std::max(left, milliseconds(0)), &status)) {
      if (ended_) return {.kind = ChildStop::Kind::kEnded};
      return stop_now();
    }
    const int signal = WSTOPSIG(status);
    if (signal == kSystemCallStop) {
      ChildStop stop = on_system_call();
      if (stop.kind != ChildStop::Kind::kDeadline) return stop;
      continue;
    }
    if (status >> 16 != 0 || signal == SIGSTOP || signal == SIGCONT) {  // not of its own making
      resume_async();
      continue;
    }
    if (signal == SIGTRAP) return {.kind = ChildStop::Kind::kTrap};
    siginfo_t info{};
    ptrace(PTRACE_GETSIGINFO, pid_, nullptr, &info);
    return {.kind = ChildStop::Kind::kSignal,
            .signal = signal,
            .fault_address = reinterpret_cast<std::uint64_t>(info.si_addr)};
  }
}

// Still running when the slice was over.
ChildStop ChildRunner::stop_now() {
  ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr);
  int status = 0;
  if (!wait_status(kSystemCallLimit, &status)) {
    ::kill(pid_, SIGKILL);
    ended_ = true;
    return {.kind = ChildStop::Kind::kEnded};
  }
  const int signal = WSTOPSIG(status);
  if (status >> 16 == PTRACE_EVENT_STOP) return {.kind = ChildStop::Kind::kDeadline};
  if (signal == SIGTRAP) return {.kind = ChildStop::Kind::kTrap};  // our stop comes later and is passed over
  if (signal == kSystemCallStop) {
    ChildStop stop = on_system_call();
    return stop.kind == ChildStop::Kind::kDeadline ? stop_now() : stop;
  }
  return {.kind = ChildStop::Kind::kSignal, .signal = signal};
}

// At the entry of a system call: lets a harmless one through (kDeadline: go on waiting), cancels any other.
ChildStop ChildRunner::on_system_call() {
  user_regs_struct registers{};
  if (ptrace(PTRACE_GETREGS, pid_, nullptr, &registers) < 0) return {.kind = ChildStop::Kind::kEnded};
  const auto number = static_cast<std::int64_t>(registers.orig_rax);
  const bool allowed = is_allowed(registers);
  if (!allowed) {
    registers.orig_rax = ~0ull;
    ptrace(PTRACE_SETREGS, pid_, nullptr, &registers);
  }
  int status = 0;
  do {  // to its exit stop
    if (ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) < 0 || !wait_status(kSystemCallLimit, &status)) {
      return {.kind = ChildStop::Kind::kEnded};
    }
  } while (WSTOPSIG(status) != kSystemCallStop);
  if (!allowed) return {.kind = ChildStop::Kind::kSystemCall, .system_call = number};
  resume_async();
  return {.kind = ChildStop::Kind::kDeadline};
}

double ChildRunner::cpu_ms() const {
  std::ifstream file(fmt::format("/proc/{}/schedstat", pid_));  // first number: ns on a CPU
  double nanoseconds = 0;
  if (file >> nanoseconds) return nanoseconds / 1e6;
  return last_cpu_ms_;
}

void ChildRunner::kill() {
  watcher_ = {};  // joins: nothing else may signal the pid from here on
  if (pid_ == 0) return;
  last_cpu_ms_ = cpu_ms();
  ::kill(pid_, SIGKILL);
  int status = 0;
  const auto deadline = steady_clock::now() + kSystemCallLimit;
  while (::waitpid(pid_, &status, __WALL | WNOHANG) == 0 || WIFSTOPPED(status)) {
    if (steady_clock::now() > deadline) break;
    status = 0;
    ::usleep(100);
  }
  ended_ = true;
  pid_ = 0;
}

}  // namespace memsnap
