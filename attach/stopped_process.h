#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "attach/process_id.h"

namespace memsnap {

// Threads of a process, seized and stopped (PTRACE_SEIZE, PTRACE_INTERRUPT). The destructor lets them run: signals that
// arrived meanwhile are delivered, a process that was stopped by SIGSTOP stays stopped.
class StoppedProcess {
 public:
  struct Options {
    std::chrono::milliseconds wait{5000};
    bool one_thread = false;  // only the first that can be stopped: enough to reap a child
  };

  // Throws Error: kBusy (another tracer), kNoPermission, kNoSuchProcess, kGaveUp (not stopped within the wait).
  StoppedProcess(const ProcessId& target, const Options& options);
  ~StoppedProcess();
  StoppedProcess(const StoppedProcess&) = delete;
  StoppedProcess& operator=(const StoppedProcess&) = delete;

  const std::vector<pid_t>& stopped() const { return stopped_; }  // the main thread first when it is among them
  std::uint32_t not_stopped() const { return static_cast<std::uint32_t>(running_.size()); }
  bool group_stopped() const { return group_stopped_; }
  // First INTERRUPT to now, or to the last detach.
  std::chrono::nanoseconds stopped_for() const;

  // Lets all go before the destructor does. Threads in uninterruptible sleep that could not be stopped remain seized:
  // they are given to the caller, to be let go by release_stragglers() when they wake.
  std::vector<pid_t> release();

 private:
  bool seize(pid_t tid);
  void seize_all();
  void stop_all(std::chrono::steady_clock::time_point deadline);
  bool wait_for_stop(pid_t tid, std::chrono::steady_clock::time_point deadline);
  void detach_all() noexcept;

  const ProcessId& target_;
  Options options_;
  std::vector<pid_t> stopped_;
  std::vector<pid_t> running_;  // seized, not stopped
  bool group_stopped_ = false;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point ended_{};
};

// Detaches seized threads that have come to a stop meanwhile; keeps the others in the list.
void release_stragglers(std::vector<pid_t>& tids) noexcept;

// Thread ids of a process, ascending; empty when it is gone.
std::vector<pid_t> thread_ids(pid_t pid);
// State letter of proc_pid_stat(5); 'X' when the thread is gone.
char thread_state(pid_t pid, pid_t tid);
// A field of /proc/PID/status as a number; `fallback` when missing.
std::uint64_t status_number(pid_t pid, const char* key, int base, std::uint64_t fallback);

}  // namespace memsnap
