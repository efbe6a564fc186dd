#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/cli/capture.h"

namespace memsnap {

// A report command that takes FILE or PID: of a running process it looks at that, and saves nothing. The options are
// those of add_look_options(). Empty: the words name no process; throws Error kUsage for options that only one has.
std::optional<Capture> look_at_process(const Invocation& invocation, const std::vector<std::string>& words);

}  // namespace memsnap
