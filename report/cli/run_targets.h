#pragma once

#include <functional>
#include <vector>

#include "report/cli/command.h"
#include "report/cli/targets.h"

namespace memsnap {

// Does `one` for each target. One target: its Error ends the command. Several: each failure is reported, the others go
// on, and the code is kSomeFailed; a signal ends the row.
ExitCode for_each_target(const Invocation& invocation, const std::vector<Candidate>& targets,
                         const std::function<ExitCode(const Candidate&)>& one);

}  // namespace memsnap
