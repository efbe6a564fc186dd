#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attach/base/error.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What /proc says of a process; nothing is attached or stopped to find it out.
struct ProcessFacts {
  TargetInfo info;
  pid_t parent = 0;
  std::uint32_t uid = 0;
  std::uint64_t rss = 0;
  std::uint32_t threads = 0;
  pid_t tracer = 0;
  int seccomp = 0;  // 2: a filter
  char state = '?';
  std::vector<std::string> cgroups;  // its path in each hierarchy
};
std::optional<ProcessFacts> read_process(pid_t pid);  // empty: there is none, or it is a zombie or a kernel thread

std::vector<std::pair<pid_t, pid_t>> all_processes();  // pid, parent
// By the names of its program and libraries, else by the symbols of its program. Of another user's: by its command
// line.
bool looks_like_python(const ProcessFacts& process);

// Whether this user could attach: the kernel's own answer for /proc/PID/mem, which asks the same as ptrace.
bool may_attach(pid_t pid);

// The CPython inside, found and verified by reading only. `error`: why a snapshot would be refused.
struct PythonFacts {
  std::string version;
  std::optional<Error> error;
};
PythonFacts read_python(pid_t pid);

}  // namespace memsnap
