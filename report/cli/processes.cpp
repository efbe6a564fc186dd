#include "report/cli/processes.h"

#include "attach/base/error.h"

namespace memsnap {

Candidate candidate_of(pid_t pid) {
  Candidate candidate;
  candidate.pid = pid;
  return candidate;
}

std::vector<Candidate> find_targets(const Selector& selector) {
  if (selector.is_pid_only()) return {candidate_of(*selector.pid)};
  throw Error(ExitCode::kInternal, "process list is missing", "");
}

}  // namespace memsnap
