#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "attach/base/error.h"

namespace memsnap {

// What decides whether one process may look at another, ptrace(2) "Ptrace access mode checking", read from /proc.
struct AccessFacts {
  uid_t our_uid = 0;
  uid_t target_uid = 0;
  bool capable = false;    // CAP_SYS_PTRACE is in our effective set
  bool overrides = false;  // CAP_DAC_OVERRIDE: /proc/PID/mem of another user may be opened
  int yama_scope = 0;      // kernel.yama.ptrace_scope, 0 where there is no Yama
  bool dumpable = true;    // prctl(PR_SET_DUMPABLE): /proc/PID belongs to root when it is not
  bool same_user_namespace = true;
  bool filtered = false;  // we run under a seccomp filter ourselves, as in a container
  std::string name{};     // of the target, not escaped
  std::string user{};
  std::string container{};  // id, empty outside one
};
AccessFacts read_access_facts(pid_t pid);

// Why the kernel says no, one line each; what to do, one line each.
std::vector<std::string> refusal_reasons(const AccessFacts& facts);
std::vector<std::string> refusal_hints(const AccessFacts& facts, pid_t pid);

// kNoPermission with all of it, for a call that failed with `error` (errno).
Error permission_error(pid_t pid, int error);

}  // namespace memsnap
