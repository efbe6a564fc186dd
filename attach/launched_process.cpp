#include "attach/launched_process.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include "attach/cached_memory.h"
#include "attach/preflight.h"
#include "attach/tracee_wait.h"

namespace memsnap {
namespace {

constexpr int kNotStarted = 125;
constexpr long kTick = 20'000'000;       // ns between looks at what else there is to do
constexpr std::uint64_t kCode64 = 0x33;  // cs of a 64-bit program

// Debug register 7, Intel SDM 17.2.4: breakpoint 0 for this task alone.
constexpr std::uint64_t kEnable = 1;
constexpr std::uint64_t kExecute = 0;
constexpr std::uint64_t kWriteWord = 0xd << 16;  // a change of four bytes
constexpr std::uint64_t kHit = 1;                // of register 6: it was breakpoint 0

constexpr std::size_t debug_register(int number) {
  return offsetof(struct user, u_debugreg) + static_cast<std::size_t>(number) * sizeof(long);
}

bool poke(pid_t pid, int number, std::uint64_t value) {
  return ptrace(PTRACE_POKEUSER, pid, debug_register(number), value) == 0;
}

bool is_group_stop(int signal) {
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

// Where the program itself begins, getauxval(3). Empty: it is not a 64-bit program.
std::optional<std::uint64_t> entry_of(pid_t pid) {
  user_regs_struct registers{};
  if (ptrace(PTRACE_GETREGS, pid, nullptr, &registers) < 0 || registers.cs != kCode64) return std::nullopt;
  std::ifstream file(fmt::format("/proc/{}/auxv", pid), std::ios::binary);
  Elf64_auxv_t entry{};
  while (file.read(reinterpret_cast<char*>(&entry), sizeof(entry)) && entry.a_type != AT_NULL) {
    if (entry.a_type == AT_ENTRY) return entry.a_un.a_val;
  }
  return std::nullopt;
}

std::array<FileDescriptor, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0)
    throw Error(ExitCode::kInternal, fmt::format("pipe: {}", std::strerror(errno)), "");
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

}  // namespace

LaunchedProcess::LaunchedProcess(const LaunchCommand& command, std::function<void()> waiting)
    : waiting_(std::move(waiting)) {
  tracer_.run([&] { start(command); });
}

LaunchedProcess::~LaunchedProcess() {
  try {
    let_go();
  } catch (const std::exception&) {  // it has ended
  }
}

void LaunchedProcess::start(const LaunchCommand& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command.arguments) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  auto go = make_pipe();
  auto failed = make_pipe();
  pid_ = ::fork();
  if (pid_ < 0) throw Error(ExitCode::kInternal, fmt::format("fork: {}", std::strerror(errno)), "");
  if (pid_ == 0) {
    ::close(go[1].get());
    become(command, arguments.data(), go[0].get(), failed[1].get());
  }
  failed_ = std::move(failed[0]);
  failed[1].reset();
  go[0].reset();
  if (ptrace(PTRACE_SEIZE, pid_, nullptr, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0) {
    const int error = errno;
    const Error refused = permission_error(pid_, error);
    go[1].reset();  // it ends by itself
    ::waitpid(pid_, nullptr, 0);
    throw refused;
  }
  traced_ = true;
  const char begin = 0;
  if (::write(go[1].get(), &begin, 1) != 1)
    throw Error(ExitCode::kInternal, fmt::format("pipe: {}", std::strerror(errno)), "");
  if (next_stop(true) == Stop::kEnded) report_failure(command.arguments.front());
}

// In the child of a process with several threads: nothing but system calls until execvp.
void LaunchedProcess::become(const LaunchCommand& command, char* const* arguments, int go, int failed) {
  char begin = 0;
  ssize_t got = 0;
  do {
    got = ::read(go, &begin, 1);
  } while (got < 0 && errno == EINTR);
  if (got != 1) ::_exit(kNotStarted);
  ::sigaction(SIGPIPE, &command.broken_pipe, nullptr);
  ::sigaction(SIGXFSZ, &command.file_too_large, nullptr);
  ::sigaction(SIGCHLD, &command.child_ended, nullptr);
  ::sigprocmask(SIG_SETMASK, &command.blocked, nullptr);
  ::execvp(arguments[0], arguments);
  const int error = errno;
  if (::write(failed, &error, sizeof(error)) < 0) ::_exit(kNotStarted);
  ::_exit(kNotStarted);
}

// It may also have been ended by a signal before it began: that is its own end.
void LaunchedProcess::report_failure(const std::string& program) {
  int error = 0;
  if (::read(failed_.get(), &error, sizeof(error)) != sizeof(error)) return;
  ::waitpid(pid_, nullptr, 0);
  throw Error(error == ENOENT ? ExitCode::kNoSuchProgram : ExitCode::kNotExecutable,
              fmt::format("cannot run {}: {}", program, std::strerror(error)),
              error == ENOENT ? "is it in PATH?" : "is it a program, and may you execute it?");
}

bool LaunchedProcess::go_on(bool guarded) {
  const int options = PTRACE_O_TRACEEXEC | (guarded ? PTRACE_O_EXITKILL : 0);
  ptrace(PTRACE_SETOPTIONS, pid_, nullptr, options);
  held_ = false;
  return ptrace(PTRACE_CONT, pid_, nullptr, nullptr) == 0;
}

LaunchedProcess::Stop LaunchedProcess::next_stop(bool guarded, TimePoint limit) {
  if (held_ && !go_on(guarded) && has_ended(pid_)) return Stop::kEnded;
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  const timespec tick{0, kTick};
  for (bool asked = false;;) {
    int status = 0;
    if (take_stop(pid_, &status)) {
      if (const auto stop = see_to(status, asked)) return *stop;
      continue;
    }
    if (has_ended(pid_)) {
      traced_ = armed_ = false;
      return Stop::kEnded;
    }
    if (!asked && std::chrono::steady_clock::now() > limit)
      asked = ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr) == 0;
    if (waiting_) waiting_();
    ::sigtimedwait(&children, nullptr, &tick);
  }
}

// A stop that is not for us is passed on.
std::optional<LaunchedProcess::Stop> LaunchedProcess::see_to(int status, bool asked) {
  const int event = status >> 16;
  const int signal = WSTOPSIG(status);
  if (event == PTRACE_EVENT_EXEC) {
    held_ = true;
    armed_ = false;  // the kernel clears them
    return Stop::kProgram;
  }
  const bool hit = event == 0 && signal == SIGTRAP && armed_ &&
                   (static_cast<std::uint64_t>(ptrace(PTRACE_PEEKUSER, pid_, debug_register(6), nullptr)) & kHit) != 0;
  if (hit) {
    poke(pid_, 6, 0);
    held_ = true;
    return Stop::kTrap;
  }
  if (event == PTRACE_EVENT_STOP && asked) {
    held_ = true;
    return Stop::kLate;
  }
  if (event == PTRACE_EVENT_STOP && is_group_stop(signal)) {
    ptrace(PTRACE_LISTEN, pid_, nullptr, nullptr);
  } else {
    ptrace(PTRACE_CONT, pid_, nullptr, static_cast<std::uintptr_t>(event == 0 ? signal : 0));
  }
  return std::nullopt;
}

bool LaunchedProcess::arm(std::uint64_t address, std::uint64_t kind) {
  armed_ = poke(pid_, 0, address) && poke(pid_, 7, kEnable | kind);
  if (!armed_) disarm();
  return armed_;
}

void LaunchedProcess::disarm() {
  for (const int number : {7, 0, 6}) poke(pid_, number, 0);
  armed_ = false;
}

LaunchedProcess::Reached LaunchedProcess::run_to(std::uint64_t address, std::uint64_t kind, TimePoint limit) {
  if (!arm(address, kind)) return Reached::kRefused;
  const LiveMemory memory(pid_);
  for (;;) {
    const Stop stop = next_stop(true, limit);
    if (stop == Stop::kEnded) return Reached::kEnded;
    if (stop == Stop::kProgram) return Reached::kProgram;
    const bool set_to_zero = kind == kWriteWord && memory.try_read<std::uint32_t>(address).value_or(0) == 0;
    if (stop == Stop::kTrap && set_to_zero) continue;
    disarm();
    return stop == Stop::kTrap ? Reached::kPlace : Reached::kLate;
  }
}

LaunchedProcess::Reached LaunchedProcess::run_to_entry() {
  return tracer_.run([&] {
    if (!traced_) return Reached::kEnded;
    const auto entry = entry_of(pid_);
    return entry ? run_to(*entry, kExecute) : Reached::kPlace;  // where it is will do: it can be no Python
  });
}

LaunchedProcess::Reached LaunchedProcess::run_to_write(std::uint64_t address, std::chrono::milliseconds limit) {
  const TimePoint until = std::chrono::steady_clock::now() + limit;
  return tracer_.run([&] { return traced_ ? run_to(address, kWriteWord, until) : Reached::kEnded; });
}

LaunchedProcess::Reached LaunchedProcess::run_to_program() {
  return tracer_.run([&] {
    while (traced_) {
      if (next_stop(false) == Stop::kProgram) return Reached::kProgram;
    }
    return Reached::kEnded;
  });
}

// Registers can be cleared only while it stands still.
void LaunchedProcess::hold() {
  constexpr std::chrono::seconds kLongest{1};
  if (ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr) < 0) return;
  const TimePoint until = std::chrono::steady_clock::now() + kLongest;
  for (int status = 0; !held_ && !has_ended(pid_) && std::chrono::steady_clock::now() < until;) {
    if (!take_stop(pid_, &status)) {
      ::usleep(1000);
    } else if (!see_to(status, true)) {
      ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr);  // it was another stop, and was passed on
    }
  }
}

void LaunchedProcess::let_go() {
  tracer_.run([&] {
    if (!std::exchange(traced_, false)) return;
    if (!held_) hold();
    if (armed_) disarm();
    if (held_) ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
    held_ = false;
  });
}

}  // namespace memsnap
