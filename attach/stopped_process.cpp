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
#include "attach/preflight.h"
#include "attach/registers.h"
#include "attach/tracee_wait.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

constexpr int kSeizeRounds = 20;
constexpr std::chrono::milliseconds kSleepingDisk{20};  // how long a stop waits for a thread in state D
constexpr int kSleepLooks = 5;                          // looks at threads in state D before anything stops
constexpr useconds_t kSleepPause = 2000;
constexpr useconds_t kBetweenAttempts = 10000;
constexpr int kTightSpins = 100;

bool is_event_stop(int status) { return status >> 16 == PTRACE_EVENT_STOP; }

bool is_group_stop(int status) {
  const int signal = WSTOPSIG(status);
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

[[noreturn]] void throw_refused(pid_t pid, pid_t tid, int error) {
  const auto tracer = static_cast<pid_t>(status_number(tid, "TracerPid", 10, 0));
  if (tracer != 0) {
    throw Error(ExitCode::kBusy, fmt::format("process {} is already traced by pid {}", pid, tracer),
                "wait until it is done, or read without stopping: --method read");
  }
  throw permission_error(pid, error);
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
  if (options_.held) {
    stopped_.push_back(target_.pid());
    saved_.push_back(ThreadRegisters::save(target_.pid()));
    return;
  }
  const auto deadline = began_ + options_.wait;
  try {
    while (!attempt(deadline)) {
      target_.require_alive();
      detach_all();
      if (steady_clock::now() >= deadline) {
        throw Error(ExitCode::kGaveUp, fmt::format("the threads of {} did not stop within the wait", target_.pid()),
                    "give them longer with --wait; threads in uninterruptible sleep (state D) need --method read");
      }
      ::usleep(kBetweenAttempts);
    }
    target_.require_alive();  // the pid was not reused before the seize
  } catch (...) {
    detach_all();
    throw;
  }
}

StoppedProcess::~StoppedProcess() { detach_all(); }

// One try to have all threads stopped at once. False when some went on running, or none could be stopped.
bool StoppedProcess::attempt(TimePoint deadline) {
  sleeping_.clear();
  group_stopped_ = false;
  for (int look = 0; look < kSleepLooks; ++look) {  // a page being read is no reason to leave a thread out
    if (look > 0) ::usleep(kSleepPause);
    for (int round = 0; round < kSeizeRounds && seize_new(); ++round) continue;
    if (sleeping_.empty() || (options_.one_thread && !running_.empty())) break;
  }
  began_ = steady_clock::now();
  ended_ = {};
  const auto limit = std::min(deadline, began_ + options_.longest);
  for (int round = 0; round < kSeizeRounds; ++round) {
    const std::vector<pid_t> asked = running_;
    for (const pid_t tid : asked) ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
    for (const pid_t tid : asked) {
      if (!wait_for_stop(tid, limit)) return false;
    }
    if (options_.one_thread || !seize_new()) break;  // a thread may have made another before it stopped
  }
  for (const pid_t tid : stopped_) {
    let_endless_wait_restart(tid);
    saved_.push_back(ThreadRegisters::save(tid));
  }
  return !stopped_.empty();
}

// False when it is not seized: it ended meanwhile, or sleeps.
bool StoppedProcess::seize(pid_t tid) {
  const char before = thread_state(target_.pid(), tid);
  if (before == 'D') {
    sleeping_.push_back(tid);
    return false;
  }
  if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) == 0) {
    running_.push_back(tid);
    return true;
  }
  const int error = errno;
  const char state = thread_state(target_.pid(), tid);
  if (error == ESRCH || state == 'X' || state == 'Z') return false;
  throw_refused(target_.pid(), tid, error);
}

// Seizes what is not seized yet; false when there was nothing.
bool StoppedProcess::seize_new() {
  sleeping_.clear();
  bool found = false;
  const auto known = [](const std::vector<pid_t>& list, pid_t tid) {
    return std::find(list.begin(), list.end(), tid) != list.end();
  };
  for (const pid_t tid : thread_ids(target_.pid())) {
    if (known(stopped_, tid) || known(running_, tid)) continue;
    found = seize(tid) || found;
    if (options_.one_thread && !running_.empty()) return false;
  }
  return found;
}

// False when it was still running at the deadline. It may have ended, or have gone to uninterruptible sleep.
bool StoppedProcess::wait_for_stop(pid_t tid, TimePoint deadline) {
  const auto asked = steady_clock::now();
  for (int spins = 0;; ++spins) {
    int status = 0;
    const pid_t got = look_at_tracee(tid, &status);
    if (got < 0 || (got == tid && !WIFSTOPPED(status))) {  // it ended
      std::erase(running_, tid);
      return true;
    }
    if (got == tid && is_event_stop(status)) {
      group_stopped_ = group_stopped_ || is_group_stop(status);
      std::erase(running_, tid);
      // The main thread first: extension types that are bound to a thread are mostly bound to that one.
      stopped_.insert(tid == target_.pid() ? stopped_.begin() : stopped_.end(), tid);
      return true;
    }
    if (got == tid) {
      // A signal got here before our stop. Deliver it, or the target would lose it; the stop still follows.
      const int signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
      ptrace(PTRACE_CONT, tid, nullptr, static_cast<std::uintptr_t>(signal));
      continue;
    }
    const auto now = steady_clock::now();
    if (now - asked > kSleepingDisk && thread_state(target_.pid(), tid) == 'D') return true;
    if (now >= deadline) return false;
    if (spins > kTightSpins) ::usleep(20);
  }
}

std::chrono::nanoseconds StoppedProcess::stopped_for() const {
  return (ended_ == TimePoint{} ? steady_clock::now() : ended_) - began_;
}

std::vector<HeldThread> StoppedProcess::held() const {
  std::vector<HeldThread> held;
  for (std::size_t i = 0; i < stopped_.size(); ++i)
    held.push_back({stopped_[i], saved_[i].general, saved_[i].extended});
  return held;
}

std::vector<pid_t> StoppedProcess::changed() const {
  std::vector<pid_t> changed;
  for (std::size_t i = 0; i < stopped_.size(); ++i) {
    if (!saved_[i].equals(stopped_[i])) changed.push_back(stopped_[i]);
  }
  return changed;
}

std::vector<pid_t> StoppedProcess::release() {
  std::vector<pid_t> stragglers;
  stragglers.swap(running_);
  for (const pid_t tid : stopped_) {
    // One that was killed is no longer stopped: what is left of it is ours to take, or the process could not end.
    if (!options_.held && ptrace(PTRACE_DETACH, tid, nullptr, nullptr) != 0) stragglers.push_back(tid);
  }
  if (ended_ == TimePoint{}) ended_ = steady_clock::now();
  stopped_.clear();
  saved_.clear();
  return stragglers;
}

// What does not wake in time stays seized until the tracer thread ends, which is soon: then the kernel detaches it.
void StoppedProcess::detach_all() noexcept {
  try {
    std::vector<pid_t> stragglers = release();
    const auto deadline = steady_clock::now() + std::chrono::milliseconds(100);
    while (!stragglers.empty() && steady_clock::now() < deadline) {
      release_stragglers(stragglers);
      if (!stragglers.empty()) ::usleep(200);
    }
    running_ = std::move(stragglers);
  } catch (...) {  // out of memory: the kernel detaches when the tracer thread ends
  }
}

void release_stragglers(std::vector<pid_t>& tids) noexcept {
  for (std::size_t i = 0; i < tids.size();) {
    int status = 0;
    const pid_t got = look_at_tracee(tids[i], &status);
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
