// plant_harm HOW MEMSNAP ARGUMENTS...: runs memsnap, then does a little harm to its target, by which scripts/torture
// --self-test proves that harm would be seen. No part of memsnap. HOW: nothing, mapping (leaks one page), signal (loses
// one real-time signal), thread (goes on holding one thread).
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace {

std::vector<pid_t> threads_of(pid_t pid) {
  std::vector<pid_t> threads;
  DIR* const folder = ::opendir(("/proc/" + std::to_string(pid) + "/task").c_str());
  if (folder == nullptr) return threads;
  while (const dirent* const entry = ::readdir(folder)) {
    const auto tid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (tid != 0) threads.push_back(tid);
  }
  ::closedir(folder);
  return threads;
}

bool stop(pid_t tid) {
  if (::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) return false;
  ::ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
  for (int status = 0; ::waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status);) {
    if (status >> 16 == PTRACE_EVENT_STOP) return true;
    ::ptrace(PTRACE_CONT, tid, nullptr, static_cast<std::uintptr_t>(WSTOPSIG(status)));
  }
  return false;
}

// By an mmap on the main thread, while it stands in a system call: the instruction before its next one is `syscall`.
void leak_mapping(pid_t pid) {
  user_regs_struct before{};
  for (int attempt = 0;; ++attempt) {
    if (!stop(pid)) return;
    ::ptrace(PTRACE_GETREGS, pid, nullptr, &before);
    const long word = ::ptrace(PTRACE_PEEKTEXT, pid, before.rip - 2, nullptr);
    if ((word & 0xffff) == 0x050f && static_cast<long>(before.orig_rax) >= 0) break;
    ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
    if (attempt == 200) return;
    ::usleep(2000);
  }
  user_regs_struct call = before;
  call.rip -= 2;
  call.rax = SYS_mmap;
  call.orig_rax = ~0ull;
  call.rdi = 0;
  call.rsi = 4096;
  call.rdx = PROT_READ | PROT_WRITE;
  call.r10 = MAP_PRIVATE | MAP_ANONYMOUS;
  call.r8 = ~0ull;
  call.r9 = 0;
  ::ptrace(PTRACE_SETREGS, pid, nullptr, &call);
  ::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr);
  int status = 0;
  ::waitpid(pid, &status, __WALL);
  // A stop as INTERRUPT makes it: only from there the interrupted call is begun again.
  ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
  ::ptrace(PTRACE_CONT, pid, nullptr, nullptr);
  ::waitpid(pid, &status, __WALL);
  ::ptrace(PTRACE_SETREGS, pid, nullptr, &before);
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
}

// Waits for one to come, and lets the process go on without it.
void lose_signal(pid_t pid) {
  for (const pid_t tid : threads_of(pid)) ::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr);
  const timespec pause{0, 200000};
  bool lost = false;
  for (int look = 0; look < 15000 && !lost; ++look) {
    int status = 0;
    const pid_t tid = ::waitpid(-1, &status, __WALL | WNOHANG);
    if (tid <= 0) ::nanosleep(&pause, nullptr);
    if (tid <= 0 || !WIFSTOPPED(status)) continue;
    lost = status >> 16 == 0 && WSTOPSIG(status) >= SIGRTMIN;
    ::ptrace(PTRACE_CONT, tid, nullptr, static_cast<std::uintptr_t>(lost || status >> 16 != 0 ? 0 : WSTOPSIG(status)));
  }
}  // the end of this process lets the threads go

// From a process that lives on: it is the one that the harness has to find.
void hold_thread(pid_t pid) {
  if (::fork() != 0) return;
  ::prctl(PR_SET_NAME, "holder");
  const std::vector<pid_t> threads = threads_of(pid);
  if (threads.empty() || !stop(threads.back())) ::_exit(0);
  int status = 0;
  ::waitpid(threads.back(), &status, __WALL);  // till the target ends
  ::_exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string how = argv[1];
  const pid_t memsnap = ::fork();
  if (memsnap == 0) {
    ::execv(argv[2], argv + 2);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(memsnap, &status, 0);
  const pid_t target = argc > 4 ? static_cast<pid_t>(std::strtol(argv[4], nullptr, 10)) : 0;
  if (target > 0 && how == "mapping") leak_mapping(target);
  if (target > 0 && how == "signal") lose_signal(target);
  if (target > 0 && how == "thread") hold_thread(target);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
