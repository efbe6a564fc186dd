#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "attach/frozen_process.h"
#include "attach/process_id.h"
#include "attach/registers.h"

namespace memsnap {

// Threads of a process, seized and stopped (PTRACE_SEIZE, PTRACE_INTERRUPT). The destructor lets them run: signals that
// arrived meanwhile are delivered, a process that was stopped by SIGSTOP stays stopped.
class StoppedProcess {
 public:
  struct Options {
    std::chrono::milliseconds wait{5000};    // for a moment at which all stop
    std::chrono::milliseconds longest{250};  // one attempt: no thread is held longer while others still run
    bool one_thread = false;                 // only the first that can be stopped: enough to reap a child
    bool held = false;                       // its only thread is stopped by the calling thread already, which keeps it
  };

  // Throws Error: kBusy (another tracer), kNoPermission, kNoSuchProcess, kGaveUp (not stopped within the wait).
  StoppedProcess(const ProcessId& target, const Options& options);
  ~StoppedProcess();
  StoppedProcess(const StoppedProcess&) = delete;
  StoppedProcess& operator=(const StoppedProcess&) = delete;

  const std::vector<pid_t>& stopped() const { return stopped_; }  // the main thread first when it is among them
  std::uint32_t not_stopped() const { return static_cast<std::uint32_t>(running_.size() + sleeping_.size()); }
  bool group_stopped() const { return group_stopped_; }
  // Their registers.
  std::vector<HeldThread> held() const;
  // First INTERRUPT to now, or to the last detach.
  std::chrono::nanoseconds stopped_for() const;

  // Threads whose registers, extended state or signal mask are not what they were when they stopped.
  std::vector<pid_t> changed() const;

  // Lets all go before the destructor does. Threads that fell into uninterruptible sleep before they could be stopped
  // remain seized, and those that were killed meanwhile: release_stragglers() lets them go when they wake or end.
  std::vector<pid_t> release();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  bool attempt(TimePoint deadline);
  bool seize(pid_t tid);
  bool seize_new();
  bool wait_for_stop(pid_t tid, TimePoint deadline);
  void detach_all() noexcept;

  const ProcessId& target_;
  Options options_;
  std::vector<pid_t> stopped_;
  std::vector<ThreadRegisters> saved_;  // of each of stopped_, in that order
  std::vector<pid_t> running_;          // seized, not stopped
  std::vector<pid_t> sleeping_;         // in state D all along: not seized
  bool group_stopped_ = false;
  TimePoint began_;
  TimePoint ended_{};
};

// Detaches seized threads that have come to a stop meanwhile, and takes what is left of those that ended, without which
// the process's own parent waits for its end; keeps the others in the list.
void release_stragglers(std::vector<pid_t>& tids) noexcept;

// Thread ids of a process, ascending; empty when it is gone.
std::vector<pid_t> thread_ids(pid_t pid);
// State letter of proc_pid_stat(5); 'X' when the thread is gone.
char thread_state(pid_t pid, pid_t tid);
// A field of /proc/PID/status as a number; `fallback` when missing.
std::uint64_t status_number(pid_t pid, const char* key, int base, std::uint64_t fallback);

}  // namespace memsnap
