#pragma once

#include <sys/types.h>

#include <cstdint>

#include "attach/base/file_descriptor.h"

namespace memsnap {

// A process pinned by its start time (and a pidfd where the kernel has one, 5.3+): a reused pid is noticed.
class ProcessId {
 public:
  // Throws Error: kNoSuchProcess when there is none (or it is a zombie, or `pid` is a thread of another process).
  static ProcessId open(pid_t pid);
  // The one that was seen before, by its start time (0: whichever there is): the pid may be another's by now.
  static ProcessId open(pid_t pid, std::uint64_t start_time);

  pid_t pid() const { return pid_; }
  std::uint64_t start_time() const { return start_time_; }  // clock ticks since boot, field 22 of proc_pid_stat(5)
  bool alive() const;                                       // false too when the pid now belongs to another process
  void require_alive() const;                               // throws Error kNoSuchProcess
  // The same when it is ending: a process loses its memory first. A kernel thread never had any.
  void require_memory() const;

 private:
  ProcessId(pid_t pid, std::uint64_t start_time, FileDescriptor pidfd);
  pid_t pid_;
  std::uint64_t start_time_;
  FileDescriptor pidfd_;  // empty before Linux 5.3
};

}  // namespace memsnap
