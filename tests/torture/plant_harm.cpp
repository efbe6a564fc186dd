// plant_harm HOW MEMSNAP ARGUMENTS...: runs memsnap, then does a little harm to its target, by which scripts/torture
// --self-test proves that harm would be seen. No part of memsnap. HOW: nothing, mapping (leaks one page), signal (loses
// one real-time signal), thread (goes on holding one
// thread), descriptor (leaks one), child (leaves one that is dead), sleep (ends a select early), memory (changes one
// byte).
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
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

// The main thread, stopped in the select it waits in: the instruction before its next one is `syscall`.
bool stop_in_select(pid_t pid, user_regs_struct& registers) {
  for (int attempt = 0; attempt < 2000; ++attempt) {
    if (!stop(pid)) return false;
    ::ptrace(PTRACE_GETREGS, pid, nullptr, &registers);
    const long word = ::ptrace(PTRACE_PEEKTEXT, pid, registers.rip - 2, nullptr);
    const bool selects = registers.orig_rax == SYS_select || registers.orig_rax == SYS_pselect6;
    if ((word & 0xffff) == 0x050f && selects) return true;
    ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
    ::usleep(500);
  }
  return false;
}

// One system call in between.
void call_from(pid_t pid, std::uint64_t number, const std::array<std::uint64_t, 6>& arguments) {
  user_regs_struct before{};
  if (!stop_in_select(pid, before)) return;
  ::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACECLONE);
  user_regs_struct call = before;
  call.rip -= 2;
  call.rax = number;
  call.orig_rax = ~0ull;
  call.rdi = arguments[0];
  call.rsi = arguments[1];
  call.rdx = arguments[2];
  call.r10 = arguments[3];
  call.r8 = arguments[4];
  call.r9 = arguments[5];
  ::ptrace(PTRACE_SETREGS, pid, nullptr, &call);
  ::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr);
  int status = 0;
  ::waitpid(pid, &status, __WALL);
  if (status >> 16 == PTRACE_EVENT_CLONE) {
    unsigned long child = 0;
    ::ptrace(PTRACE_GETEVENTMSG, pid, nullptr, &child);
    ::kill(static_cast<pid_t>(child), SIGKILL);
    ::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr);
    ::waitpid(pid, &status, __WALL);
  }
  // A stop as INTERRUPT makes it: only from there the interrupted call is begun again.
  ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
  ::ptrace(PTRACE_CONT, pid, nullptr, nullptr);
  ::waitpid(pid, &status, __WALL);
  ::ptrace(PTRACE_SETREGS, pid, nullptr, &before);
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
}

void leak_mapping(pid_t pid) {
  call_from(pid, SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0});
}

void leak_descriptor(pid_t pid) { call_from(pid, SYS_dup, {2, 0, 0, 0, 0, 0}); }

// As a frozen copy would be that nobody takes away: without a signal at its end.
void leave_child(pid_t pid) { call_from(pid, SYS_clone, {0, 0, 0, 0, 0, 0}); }

void end_sleep(pid_t pid) {
  user_regs_struct registers{};
  if (!stop_in_select(pid, registers)) return;
  ::ptrace(PTRACE_POKEDATA, pid, registers.rsi, nullptr);  // nothing can be read
  registers.rax = 0;
  registers.orig_rax = ~0ull;
  ::ptrace(PTRACE_SETREGS, pid, nullptr, &registers);
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
}

// In the block that each target has for it: all bytes in turn, again and again.
void change_byte(pid_t pid) {
  std::string ramp;
  for (int i = 0; i < 1024; ++i) ramp.push_back(static_cast<char>(i));
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  const int memory = ::open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDWR | O_CLOEXEC);
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx rw", &begin, &end) != 2 || line.find(" rw-p ") == std::string::npos)
      continue;
    std::string bytes(end - begin, '\0');
    if (::pread(memory, bytes.data(), bytes.size(), static_cast<off_t>(begin)) != static_cast<ssize_t>(bytes.size())) {
      continue;
    }
    for (std::size_t at = bytes.find(ramp); at != std::string::npos; at = bytes.find(ramp, at + ramp.size())) {
      [[maybe_unused]] const ssize_t written = ::pwrite(memory, "!", 1, static_cast<off_t>(begin + at));
    }
  }
  ::close(memory);
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
  if (target > 0 && how == "descriptor") leak_descriptor(target);
  if (target > 0 && how == "child") leave_child(target);
  if (target > 0 && how == "sleep") end_sleep(target);
  if (target > 0 && how == "memory") change_byte(target);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
