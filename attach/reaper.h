#pragma once

#include <sys/types.h>

#include <chrono>
#include <vector>

#include "attach/process_id.h"
#include "attach/remote_call.h"

namespace memsnap {

// A dead child of the target that only the target itself can take off the process table.
struct LeftChild {
  pid_t pid = 0;         // as we see it
  pid_t target_pid = 0;  // in the target's pid namespace: what wait4 in the target takes
};

// Zombies of the target that a killed memsnap left: marked by name, exit signal 0. No other child is ever touched.
std::vector<LeftChild> left_children(pid_t target);

// By a wait4 that returns at once, in a stopped thread of the target. False: it is still there, or is no such child.
bool reap(RemoteCall& thread, const LeftChild& child);

// Nothing that is asked of a target to take a child back lasts longer: after an exec, or in uninterruptible sleep
// (state D), none of its threads may stop.
constexpr std::chrono::milliseconds kReapLimit{5000};
// Stops one thread of the target briefly for it. False when that could not be done; true too when the target is gone.
bool reap(const ProcessId& target, const LeftChild& child, std::chrono::milliseconds longest = kReapLimit);

// The pid in the innermost namespace, from NSpid of /proc/PID/status; the pid itself when there is no other.
pid_t innermost_pid(pid_t pid);

}  // namespace memsnap
