#include "report/cli/process_argument.h"

#include <fmt/format.h>

#include "report/cli/processes.h"
#include "report/cli/signals.h"
#include "report/cli/value_types.h"

namespace memsnap {

std::optional<Capture> look_at_process(const Invocation& invocation, const std::vector<std::string>& words) {
  const auto process = words.size() == 1 ? parse_process_number(words.front()) : std::nullopt;
  if (process) {
    const SignalGuard guard;  // the process is let go whatever happens
    return Capturer(invocation, false).take(candidate_of(process->value));
  }
  for (const char* name : {"strings", "redact", "method", "wait", "max-pause"}) {
    if (invocation.options.count(name) == 0) continue;
    throw Error(ExitCode::kUsage, fmt::format("--{} is for a process, and this is a file", name), "");
  }
  return std::nullopt;
}

}  // namespace memsnap
