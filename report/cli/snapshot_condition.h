#pragma once

#include <boost/program_options.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "report/cli/stored_snapshots.h"
#include "report/cli/targets.h"
#include "report/cli/value_types.h"

namespace memsnap {

// When a snapshot is worth taking. Nothing is stopped to find it out.
struct SnapshotCondition {
  std::optional<std::uint64_t> rss_over;
  std::optional<SizeOrPercent> grew;  // since the last snapshot of the process in the directory

  bool is_empty() const { return !rss_over && !grew; }
};

void add_condition_options(boost::program_options::options_description& options);
SnapshotCondition read_condition(const boost::program_options::variables_map& values);

// Why none is to be taken: "RSS 80.1 MiB is not over 1 GiB". Empty: take it. Throws Error kNoSuchProcess.
std::optional<std::string> reason_to_skip(const SnapshotCondition& condition, const Candidate& target,
                                          const std::string& directory, SnapshotFolders& folders);

// By how much `now` is over `before`, as the option wants it.
bool grew_enough(std::uint64_t before, std::uint64_t now, const SizeOrPercent& wanted);

}  // namespace memsnap
