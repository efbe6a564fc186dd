#include "report/cli/run_targets.h"

#include <fmt/format.h>

#include "report/cli/error_report.h"

namespace memsnap {

ExitCode for_each_target(const Invocation& invocation, const std::vector<Candidate>& targets,
                         const std::function<ExitCode(const Candidate&)>& one) {
  if (targets.size() == 1) {
    invocation.log.set_pid(targets.front().pid);
    return one(targets.front());
  }
  std::size_t failed = 0;
  ExitCode worst = ExitCode::kDone;
  for (const Candidate& target : targets) {
    if (invocation.cancelled()) throw Error(ExitCode::kGaveUp, "interrupted before the last process", "");
    invocation.log.set_pid(target.pid);
    try {
      const ExitCode code = one(target);
      if (code != ExitCode::kDone) worst = code;
    } catch (const Error& error) {
      if (invocation.cancelled()) throw;
      ++failed;
      // A process that was harmed must not vanish among others that were merely out of reach.
      if (error.code() == ExitCode::kTargetHarmed) worst = ExitCode::kTargetHarmed;
      const Error named(error.code(), fmt::format("{}: {}", target.pid, error.what()), error.hint());
      invocation.log.error(event_of(error.code()), named);
      if (invocation.output.format() == Format::kJsonLines) {
        invocation.output.write_text(error_json(error, target.pid));
      }
    }
  }
  invocation.log.set_pid(0);
  if (worst != ExitCode::kDone) return worst;
  return failed == 0 ? ExitCode::kDone : ExitCode::kSomeFailed;
}

}  // namespace memsnap
