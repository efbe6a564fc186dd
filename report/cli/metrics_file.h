#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "report/cli/targets.h"
#include "report/metrics.h"

namespace memsnap {

void add_metrics_options(boost::program_options::options_description& options);

// Option --metrics: the file for node_exporter's textfile collector, made anew by every round, whole or not at all.
class MetricsFile {
 public:
  // Throws Error kUsage: a name the collector would not read.
  explicit MetricsFile(const boost::program_options::variables_map& values);

  // Does one round of work and writes what came of it, also when it throws. Throws Error kCannotWrite.
  ExitCode of_round(const std::function<ExitCode()>& work);
  void expect(const std::vector<Candidate>& targets);
  void add(const Snapshot& snapshot);
  void done() { ++done_; }  // with one of them: a snapshot, or a reason not to take one

 private:
  void write(ExitCode code);

  std::optional<std::string> path_;
  bool by_pid_;
  std::vector<ProcessFigures> processes_;
  std::vector<ProcessFigures> expected_;
  std::uint64_t done_ = 0;
  RunFigures run_;
};

}  // namespace memsnap
