#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <optional>
#include <string>

#include "report/cli/capture.h"
#include "report/cli/command.h"
#include "report/cli/retention.h"
#include "report/cli/snapshot_condition.h"
#include "report/cli/targets.h"

namespace memsnap {

// What of a snapshot concerns the files around it: --lock, --keep and its kin, --point.
void add_taker_options(boost::program_options::options_description& options);

// The snapshots of one command: taken, saved, told of; and older ones removed.
class SnapshotTaker {
 public:
  explicit SnapshotTaker(const Invocation& invocation);  // throws Error kUsage

  // Called with what was taken, before it is told of.
  using Taken = std::function<void(const Capture&)>;
  void use_method(Method method) { capturer_.use_method(method); }
  // With --dry-run the plan alone; without a reason to take one, only that is said.
  ExitCode take(const Candidate& target, const Taken& taken = {});
  std::string plan_path(const Candidate& target) const { return capturer_.plan_path(target); }

 private:
  const Invocation& invocation_;
  Capturer capturer_;
  std::optional<std::string> lock_;
  SnapshotCondition condition_;
  Retention retention_;
  std::optional<std::string> point_;
  SnapshotFolders folders_;
};

// Prints what was taken; the exit code that follows from it.
ExitCode show_snapshot(const Invocation& invocation, const Capture& capture,
                       const std::optional<Pruned>& pruned = std::nullopt);

}  // namespace memsnap
