#pragma once

#include <optional>
#include <string>
#include <utility>

#include "report/cli/command.h"
#include "report/cli/expression.h"
#include "report/diff_report.h"

namespace memsnap {

using TwoFiles = std::pair<std::string, std::string>;

// Two files are compared by their allocations when one has nothing else, or an option says so. Throws Error kUsage when
// that is so and one has none.
bool diffs_allocations(const Invocation& invocation, const TwoFiles& files);

// `limit`: of --fail-on, with the names of the comparison of snapshots.
ExitCode diff_allocations(const Invocation& invocation, const TwoFiles& files, const DiffOptions& options,
                          const std::optional<Expression>& limit);

}  // namespace memsnap
