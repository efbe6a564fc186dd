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
  bool in_first_user_namespace = true;  // where root is the machine's root
  bool filtered = false;                // we run under a seccomp filter ourselves, as in a container
  std::string name{};                   // of the target, not escaped
  std::string user{};
  std::string container{};  // id, empty outside one
};
AccessFacts read_access_facts(pid_t pid);

// Why the kernel says no, one line each; what to do, one line each.
std::vector<std::string> refusal_reasons(const AccessFacts& facts);
std::vector<std::string> refusal_hints(const AccessFacts& facts);
// Whether this process may become the machine's root at all, and that would be let through.
bool sudo_may_help();

// kNoPermission with all of it, for a call that failed with `error` (errno).
Error permission_error(pid_t pid, int error);

}  // namespace memsnap
