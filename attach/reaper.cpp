#include "attach/reaper.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/stopped_process.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct ChildStat {
  std::string name;
  bool dead = false;
  int exit_signal = -1;
};

// proc_pid_stat(5): name, state, and field 38.
std::optional<ChildStat> read_child(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::ostringstream text;
  text << file.rdbuf();
  const std::string line = text.str();
  const std::size_t open = line.find('(');
  const std::size_t close = line.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  ChildStat child{.name = line.substr(open + 1, close - open - 1)};
  std::istringstream fields(line.substr(close + 1));
  std::string state, word;
  fields >> state;
  for (int field = 4; field < 38; ++field) fields >> word;
  if (!(fields >> child.exit_signal)) return std::nullopt;
  child.dead = state == "Z";
  return child;
}

bool is_reapable(pid_t pid) {
  const auto child = read_child(pid);
  return child && child->dead && child->exit_signal == 0;
}

// One that is marked and that nobody traces any more is dying, or should be.
bool is_left_by_us(pid_t pid, steady_clock::time_point until) {
  constexpr useconds_t kPause = 1000;
  for (bool first = true; first || steady_clock::now() < until; first = false) {
    const auto child = read_child(pid);
    if (!child || child->exit_signal != 0 || child->name != kChildName) return false;
    if (child->dead) return true;
    if (status_number(pid, "TracerPid", 10, 1) != 0) return false;  // of a memsnap that is at work
    ::kill(pid, SIGKILL);
    ::usleep(kPause);
  }
  return false;
}

// By the kernel's list; where it was built without it, by the parent in every process's stat.
std::vector<pid_t> children_of(pid_t target) {
  std::vector<pid_t> children;
  bool listed = false;
  for (const pid_t tid : thread_ids(target)) {
    std::ifstream file(fmt::format("/proc/{}/task/{}/children", target, tid));
    listed = listed || file;
    for (pid_t child = 0; file >> child;) children.push_back(child);
  }
  if (listed) return children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto pid = static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
    if (pid > 0 && status_number(pid, "PPid", 10, 0) == static_cast<std::uint64_t>(target)) children.push_back(pid);
  }
  return children;
}

constexpr milliseconds kDyingWait{500};  // for all of them
constexpr milliseconds kStopWait{1000};  // for one attempt

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
  const auto until = steady_clock::now() + kDyingWait;
  for (const pid_t child : children_of(target)) {
    if (is_left_by_us(child, until)) found.push_back({child, innermost_pid(child)});
  }
  return found;
}

bool reap(RemoteCall& thread, const LeftChild& child) {
  if (!is_reapable(child.pid)) return true;  // somebody was faster
  const auto pid = static_cast<std::uint64_t>(child.target_pid);
  const std::int64_t got = thread.call(SYS_wait4, {pid, 0, __WALL | WNOHANG, 0, 0, 0}).value;
  return got == child.target_pid || got == -ECHILD;
}

bool reap(const ProcessId& target, const LeftChild& child, milliseconds longest) {
  constexpr int kOneThreadAttempts = 5;
  constexpr int kQuickAttempts = 50;
  constexpr useconds_t kPause = 1000, kSlowPause = 20000;
  const auto until = steady_clock::now() + longest;
  for (int attempt = 0;; ++attempt) {
    if (!target.alive() || !is_reapable(child.pid)) return true;
    const auto left = std::chrono::duration_cast<milliseconds>(until - steady_clock::now());
    if (attempt != 0 && left <= milliseconds(0)) return false;
    try {
      const MemoryMap map = MemoryMap::of(target.pid());
      const auto gadgets = find_gadgets(map, LiveMemory(target.pid()));  // anew: it may have replaced its program
      if (gadgets) {                                                     // else it is just replacing it
        const StoppedProcess stopped(
            target, {.wait = std::clamp(left, milliseconds(1), kStopWait), .one_thread = attempt < kOneThreadAttempts});
        std::string why;
        const auto thread = borrow_thread(target.pid(), stopped.stopped(), map, *gadgets, &why);
        if (thread && reap(*thread, child) && thread->restore()) return true;
      }
    } catch (const Error&) {  // it ended, or none could be stopped: try again
    }
    ::usleep(attempt < kQuickAttempts ? kPause : kSlowPause);
  }
}

}  // namespace memsnap
