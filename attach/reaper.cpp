#include "attach/reaper.h"

#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/forked_process.h"
#include "attach/stopped_process.h"

namespace memsnap {
namespace {

// Name, state and exit signal (field 38) of proc_pid_stat(5).
bool is_left_by_us(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::ostringstream text;
  text << file.rdbuf();
  const std::string line = text.str();
  const std::size_t open = line.find('(');
  const std::size_t close = line.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return false;
  if (line.substr(open + 1, close - open - 1) != kChildName) return false;
  std::istringstream fields(line.substr(close + 1));
  std::string state, word;
  fields >> state;
  for (int field = 4; field <= 38 && fields >> word; ++field) continue;
  return state == "Z" && fields && word == "0";
}

}  // namespace

pid_t innermost_pid(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("NSpid:")) continue;
    std::istringstream numbers(line.substr(6));
    pid_t last = pid;
    for (pid_t number = 0; numbers >> number;) last = number;
    return last;
  }
  return pid;
}

std::vector<LeftChild> left_children(pid_t target) {
  std::vector<LeftChild> found;
  for (const pid_t tid : thread_ids(target)) {
    std::ifstream file(fmt::format("/proc/{}/task/{}/children", target, tid));
    for (pid_t child = 0; file >> child;) {
      if (is_left_by_us(child)) found.push_back({child, innermost_pid(child)});
    }
  }
  return found;
}

bool reap(RemoteCall& thread, const LeftChild& child) {
  const auto pid = static_cast<std::uint64_t>(child.target_pid);
  const std::int64_t got = thread.call(SYS_wait4, {pid, 0, __WALL | WNOHANG, 0, 0, 0}).value;
  return got == child.target_pid || got == -ECHILD;
}

bool reap(const ProcessId& target, const LeftChild& child, const MemoryMap& map, const Gadgets& gadgets) {
  constexpr int kAttempts = 50;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (!target.alive()) return true;
    try {
      const StoppedProcess stopped(target, {.wait = std::chrono::milliseconds(1000), .one_thread = attempt < 5});
      const LiveMemory memory(target.pid());
      for (const pid_t tid : stopped.stopped()) {
        if (!may_borrow(tid, memory)) continue;
        ptrace(PTRACE_SETOPTIONS, tid, nullptr, PTRACE_O_TRACESYSGOOD);
        RemoteCall thread(target.pid(), tid, map, gadgets);
        const bool reaped = reap(thread, child);
        thread.restore();
        if (reaped) return true;
      }
    } catch (const Error&) {  // it ended, or that thread had no room: try again
    }
  }
  return !target.alive();
}

}  // namespace memsnap
