#pragma once

#include <string>

#include "report/cli/command.h"
#include "report/cli/targets.h"

namespace memsnap {

// --dry-run: what would be done to `target`, whether it would be permitted, and where the file would go.
ExitCode write_plan(const Invocation& invocation, const Candidate& target, const std::string& path);

}  // namespace memsnap
