#include "report/cli/plan.h"

namespace memsnap {
ExitCode write_plan(const Invocation&, const Candidate&, const std::string&) { return ExitCode::kInternal; }
}  // namespace memsnap
