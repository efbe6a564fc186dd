#include "attach/stopped_process.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "attach/base/error.h"
#include "attach/registers.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

constexpr int kSeizeRounds = 20;
constexpr std::chrono::milliseconds kSleepingDisk{20};  // how long a thread in state D is waited for

bool is_event_stop(int status) { return status >> 16 == PTRACE_EVENT_STOP; }

bool is_group_stop(int status) {
  const int signal = WSTOPSIG(status);
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

[[noreturn]] void throw_refused(pid_t pid, pid_t tid, int error) {
  const auto tracer = static_cast<pid_t>(status_number(pid, "TracerPid", 10, 0));
  if (tracer != 0 && tracer != ::getpid()) {
    throw Error(ExitCode::kBusy, fmt::format("process {} is already traced by pid {}", pid, tracer),
                "wait until it is done, or read without stopping: --method read");
  }
  throw Error(
      ExitCode::kNoPermission, fmt::format("cannot attach to thread {} of {}: {}", tid, pid, std::strerror(error)),
      "run as root or as the process's user; in a container add CAP_SYS_PTRACE; check kernel.yama.ptrace_scope");
}

}  // namespace

std::vector<pid_t> thread_ids(pid_t pid) {
  std::vector<pid_t> tids;
  DIR* const directory = ::opendir(fmt::format("/proc/{}/task", pid).c_str());
  if (directory == nullptr) return tids;
  while (const dirent* const entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.')
      tids.push_back(static_cast<pid_t>(std::strtol(static_cast<const char*>(entry->d_name), nullptr, 10)));
  }
  ::closedir(directory);
  std::sort(tids.begin(), tids.end());
  return tids;
}

char thread_state(pid_t pid, pid_t tid) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/stat", pid, tid));
  std::ostringstream text;
  text << file.rdbuf();
  const std::string line = text.str();
  const std::size_t close = line.rfind(')');
  return close == std::string::npos || close + 2 >= line.size() ? 'X' : line[close + 2];
}

std::uint64_t status_number(pid_t pid, const char* key, int base, std::uint64_t fallback) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  const std::string wanted = fmt::format("{}:", key);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(wanted)) return std::strtoull(line.c_str() + wanted.size(), nullptr, base);
  }
  return fallback;
}

StoppedProcess::StoppedProcess(const ProcessId& target, const Options& options)
    : target_(target), options_(options), began_(steady_clock::now()) {
  const auto deadline = began_ + options_.wait;
  try {
    seize_all();
    began_ = steady_clock::now();
    stop_all(deadline);
    target_.require_alive();  // the pid was not reused before the seize
    if (stopped_.empty()) {
      throw Error(ExitCode::kGaveUp, fmt::format("no thread of {} could be stopped", target_.pid()),
                  "it is in uninterruptible sleep (state D): try again later, or --method read");
    }
  } catch (...) {
    detach_all();
    throw;
  }
  const auto main = std::find(stopped_.begin(), stopped_.end(), target_.pid());
  if (main != stopped_.end()) std::iter_swap(stopped_.begin(), main);
}

StoppedProcess::~StoppedProcess() { detach_all(); }

// False when the thread ended meanwhile.
bool StoppedProcess::seize(pid_t tid) {
  if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) == 0) {
    running_.push_back(tid);
    return true;
  }
  const int error = errno;
  const char state = thread_state(target_.pid(), tid);
  if (error == ESRCH || state == 'X' || state == 'Z') return false;
  throw_refused(target_.pid(), tid, error);
}

void StoppedProcess::seize_all() {
  for (int round = 0; round < kSeizeRounds; ++round) {
    bool fresh = false;
    for (const pid_t tid : thread_ids(target_.pid())) {
      if (std::find(running_.begin(), running_.end(), tid) != running_.end()) continue;
      fresh = seize(tid) || fresh;
      if (options_.one_thread && !running_.empty()) return;
    }
    if (!fresh) break;
  }
  if (running_.empty()) target_.require_alive();
}

void StoppedProcess::stop_all(steady_clock::time_point deadline) {
  for (int round = 0; round < kSeizeRounds; ++round) {
    for (const pid_t tid : running_) ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
    for (const pid_t tid : std::vector<pid_t>(running_)) {
      if (!wait_for_stop(tid, deadline) && steady_clock::now() >= deadline && stopped_.empty()) {
        throw Error(ExitCode::kGaveUp, fmt::format("process {} did not stop within the wait", target_.pid()),
                    "give it longer with --wait");
      }
    }
    if (options_.one_thread) return;
    bool fresh = false;  // a thread may have made another before it stopped
    for (const pid_t tid : thread_ids(target_.pid())) {
      const auto known = [&](const std::vector<pid_t>& list) {
        return std::find(list.begin(), list.end(), tid) != list.end();
      };
      if (!known(stopped_) && !known(running_)) fresh = seize(tid) || fresh;
    }
    if (!fresh) return;
  }
}

bool StoppedProcess::wait_for_stop(pid_t tid, steady_clock::time_point deadline) {
  const auto asked = steady_clock::now();
  for (int spins = 0;; ++spins) {
    int status = 0;
    const pid_t got = ::waitpid(tid, &status, __WALL | WNOHANG);
    if (got < 0 || (got == tid && !WIFSTOPPED(status))) {  // it ended
      std::erase(running_, tid);
      return false;
    }
    if (got == tid && is_event_stop(status)) {
      group_stopped_ = group_stopped_ || is_group_stop(status);
      let_endless_wait_restart(tid);
      std::erase(running_, tid);
      stopped_.push_back(tid);
      return true;
    }
    if (got == tid) {
      // A signal got here before our stop. Deliver it, or the target would lose it; the stop still follows.
      const int signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
      ptrace(PTRACE_CONT, tid, nullptr, static_cast<std::uintptr_t>(signal));
      continue;
    }
    const auto now = steady_clock::now();
    if (now >= deadline) return false;
    if (now - asked > kSleepingDisk && thread_state(target_.pid(), tid) == 'D') return false;
    if (spins > 100) ::usleep(20);
  }
}

std::chrono::nanoseconds StoppedProcess::stopped_for() const {
  return (ended_ == steady_clock::time_point{} ? steady_clock::now() : ended_) - began_;
}

std::vector<pid_t> StoppedProcess::release() {
  for (const pid_t tid : stopped_) ptrace(PTRACE_DETACH, tid, nullptr, nullptr);
  stopped_.clear();
  ended_ = steady_clock::now();
  std::vector<pid_t> stragglers;
  stragglers.swap(running_);
  return stragglers;
}

void StoppedProcess::detach_all() noexcept {
  try {
    std::vector<pid_t> stragglers = release();
    const auto deadline = steady_clock::now() + std::chrono::milliseconds(100);
    while (!stragglers.empty() && steady_clock::now() < deadline) {
      release_stragglers(stragglers);
      if (!stragglers.empty()) ::usleep(200);
    }
  } catch (...) {  // out of memory: the kernel detaches when we exit
  }
}

void release_stragglers(std::vector<pid_t>& tids) noexcept {
  for (std::size_t i = 0; i < tids.size();) {
    int status = 0;
    const pid_t got = ::waitpid(tids[i], &status, __WALL | WNOHANG);
    if (got == 0) {
      ++i;
      continue;
    }
    if (got > 0 && WIFSTOPPED(status)) {
      const int signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
      ptrace(PTRACE_DETACH, tids[i], nullptr, static_cast<std::uintptr_t>(signal));
    }
    tids.erase(tids.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

}  // namespace memsnap
