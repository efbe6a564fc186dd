#include <dirent.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

std::vector<pid_t> threads_of(pid_t pid) {
  std::vector<pid_t> threads;
  DIR* folder = opendir(fmt::format("/proc/{}/task", pid).c_str());
  if (folder == nullptr) throw std::runtime_error("no such process");
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') threads.push_back(static_cast<pid_t>(std::atoi(entry->d_name)));
  }
  closedir(folder);
  std::sort(threads.begin(), threads.end());
  return threads;
}

void trace(int request, pid_t tid, std::uintptr_t data) {
  if (ptrace(static_cast<__ptrace_request>(request), tid, nullptr, data) != 0) {
    throw std::runtime_error(fmt::format("ptrace request {:#x} on {}: errno {}", request, tid, errno));
  }
}

void wait_for_stop(pid_t tid) {
  int status = 0;
  if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) throw std::runtime_error("the thread did not stop");
}

// Makes the stopped thread, which waits in a system call, clone; returns the child, which is stopped, too.
pid_t clone_from(pid_t tid) {
  user_regs_struct saved{};
  ptrace(PTRACE_GETREGS, tid, nullptr, &saved);
  if (static_cast<std::int64_t>(saved.orig_rax) < 0) throw std::runtime_error("the thread waits in no system call");
  user_regs_struct regs = saved;
  regs.rip -= 2;  // back to the `syscall` it has just come out of
  regs.rax = SYS_clone;
  regs.orig_rax = ~0ull;
  regs.rdi = CLONE_FILES | CLONE_FS;
  regs.rsi = regs.rdx = regs.r10 = regs.r8 = 0;
  ptrace(PTRACE_SETREGS, tid, nullptr, &regs);
  unsigned long child = 0;
  for (int stops = 0; stops < 3; ++stops) {  // entry, the clone event, exit
    trace(PTRACE_SYSCALL, tid, 0);
    wait_for_stop(tid);
    if (stops == 1) ptrace(PTRACE_GETEVENTMSG, tid, nullptr, &child);
  }
  saved.rax = static_cast<unsigned long long>(-EINTR);  // the bench's target makes its call again
  saved.orig_rax = ~0ull;
  ptrace(PTRACE_SETREGS, tid, nullptr, &saved);
  return static_cast<pid_t>(child);
}

double one_clone(pid_t pid) {
  const std::vector<pid_t> threads = threads_of(pid);
  for (const pid_t tid : threads) trace(PTRACE_SEIZE, tid, PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK);
  const auto begin = Clock::now();
  for (const pid_t tid : threads) trace(PTRACE_INTERRUPT, tid, 0);
  for (const pid_t tid : threads) wait_for_stop(tid);
  const pid_t child = clone_from(pid);
  for (const pid_t tid : threads) trace(PTRACE_DETACH, tid, 0);
  const std::chrono::duration<double, std::milli> pause = Clock::now() - begin;
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, __WALL);
  return pause.count();
}

}  // namespace

// The least that a freeze can cost: stops every thread of PID, makes the first clone, and lets all go. Prints the pause
// in milliseconds, COUNT times. The first thread has to wait in a system call. It leaves a zombie in PID each time.
int main(int argc, char** argv) {
  try {
    if (argc != 3) return 2;
    for (int i = 0; i < std::atoi(argv[2]); ++i) fmt::print("{:.3f}\n", one_clone(std::atoi(argv[1])));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bare_clone: {}\n", error.what());
    return 1;
  }
}
