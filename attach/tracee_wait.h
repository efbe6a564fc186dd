#pragma once

#include <sys/types.h>

namespace memsnap {

// waitpid(tid, status, __WALL | WNOHANG) of a thread we trace, but the end of a process that is our own child is only
// seen (-1), never taken: its exit status is for whoever started it.
pid_t look_at_tracee(pid_t tid, int* status);

// SIGKILL for what the calling thread traces: without CAP_KILL another user's process takes it from its tracer alone.
void kill_tracee(pid_t pid);

// A stop of it alone, as a wait status; false: none now.
bool take_stop(pid_t tid, int* status);
// It has ended and waits to be reaped.
bool has_ended(pid_t tid);

}  // namespace memsnap
