#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <optional>
#include <string>

#include "report/cli/command.h"
#include "snapshot/analysis/call_sums.h"
#include "snapshot/analysis/profile_totals.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {

// What a file can be asked for.
struct FileContents {
  bool objects = false;      // or types
  bool allocations = false;  // it was tracked
  bool sites = false;        // objects know where they were allocated
};
FileContents contents_of(const SnapshotInfo& info);

// --allocations, --leaks, --peak, --temporary: a file that has both is asked for its allocations.
void add_allocation_options(boost::program_options::options_description& options);
// What is shown of them; throws Error kUsage when several are given.
ProfileMeasure chosen_measure(const Invocation& invocation);
// `implied`: another option that only allocations have was given. Throws Error kUsage when the file has none.
bool wants_allocations(const Invocation& invocation, const FileContents& contents, const std::string& file,
                       bool implied);
void require_allocations(const FileContents& contents, const std::string& file);

std::optional<ProfileBy> profile_by(const std::string& word);  // empty: "type"

// As load_checked(); `choose` says which parts, when it is known what the file holds.
Snapshot load_chosen(const std::string& path, const std::function<Parts(const FileContents&)>& choose);

}  // namespace memsnap
