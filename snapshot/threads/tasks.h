#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attach/frozen_process.h"

namespace memsnap {

struct SystemCall {
  std::int64_t number = -1;
  std::array<std::uint64_t, 6> arguments{};
};

// A thread as the kernel knows it.
struct Task {
  pid_t tid = 0;
  pid_t inner_tid = 0;  // in the process's own pid namespace
  std::string name{};
  char state = '?';          // proc_pid_stat(5), before anything was stopped
  double idle_seconds = -1;  // since it last ran; negative: not known
  // At the stop; of a running process what /proc says at some moment.
  bool held = false;
  user_regs_struct registers{};  // when it was held
  std::optional<SystemCall> call{};
  bool call_known = false;  // false: neither stopped nor readable
  std::uint64_t stack_pointer = 0;

  bool sleeps() const { return state == 'S' || state == 'D' || state == 'T' || state == 't'; }
};

// The threads of a process, the main one first, without a stop.
std::vector<Task> read_tasks(pid_t pid);
// What they were held with; a thread that is new since read_tasks() is added.
void add_registers(std::vector<Task>& tasks, const std::vector<HeldThread>& held);
// The same from /proc, for those that were not held.
void add_running_calls(pid_t pid, std::vector<Task>& tasks);

}  // namespace memsnap
