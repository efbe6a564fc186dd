#pragma once

#include <sys/types.h>

#include <vector>

#include "report/cli/process_facts.h"
#include "report/cli/targets.h"

namespace memsnap {

Candidate candidate_from(const ProcessFacts& facts);
// What is known about one process before it is touched; only the pid when there is no more.
Candidate candidate_of(pid_t pid);
// The targets a selector means, by what runs now. A PID is taken as it is: whether it can be looked at is found later.
std::vector<Candidate> find_targets(const Selector& selector);
// All that match, whatever is said about several. Throws Error kNoSuchProcess for none.
std::vector<Candidate> find_group(Selector selector);

}  // namespace memsnap
