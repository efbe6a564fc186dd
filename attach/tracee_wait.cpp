#include "attach/tracee_wait.h"

#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>

namespace memsnap {
namespace {

constexpr int kStopped = 0x7f;

// Field 4 of proc_pid_stat(5).
bool is_child_of_ours(pid_t tid) {
  std::ifstream file(fmt::format("/proc/{}/stat", tid));
  std::string line;
  std::getline(file, line, '\0');
  const std::size_t close = line.rfind(')');
  constexpr std::size_t kStateLength = 4;  // ") S "
  return close != std::string::npos && line.size() > close + kStateLength &&
         std::strtol(line.c_str() + close + kStateLength, nullptr, 10) == ::getpid();
}

}  // namespace

bool take_stop(pid_t tid, int* status) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(tid), &info, WSTOPPED | WNOHANG | __WALL) < 0 || info.si_pid != tid)
    return false;
  *status = info.si_status << 8 | kStopped;
  return true;
}

// A stop of a traced thread is reported whatever is asked for.
bool has_ended(pid_t tid) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(tid), &info, WEXITED | WNOWAIT | WNOHANG | __WALL) < 0) return true;
  return info.si_pid == tid && (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED);
}

void kill_tracee(pid_t pid) {
  if (::kill(pid, SIGKILL) != 0 && errno == EPERM) ptrace(PTRACE_KILL, pid, nullptr, nullptr);
}

pid_t look_at_tracee(pid_t tid, int* status) {
  if (take_stop(tid, status)) return tid;
  if (!has_ended(tid)) return 0;
  return is_child_of_ours(tid) ? -1 : ::waitpid(tid, status, __WALL | WNOHANG);
}

}  // namespace memsnap
