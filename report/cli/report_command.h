#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "report/cli/command.h"
#include "report/report.h"
#include "report/summary_report.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {

// What summary, tree and info have in common.

void add_report_output_options(boost::program_options::options_description& options);
// To standard output, or to the file of -o.
void write_report(const Invocation& invocation, const Report& report);

// The one FILE of the arguments, else the newest of the default directory. A bare number is a process: Error kUsage.
std::string input_file(const Invocation& invocation);
std::string input_file(const Invocation& invocation, const std::vector<std::string>& arguments);
std::string directory_of_snapshots(const boost::program_options::variables_map& options);  // --dir, else the default

// The parts of a file that a report needs; every checksum of the file is compared first. Throws Error kBadFile;
// kUsage when objects are wanted of a file that has allocations only.
Snapshot load_checked(const std::string& path, Parts wanted);

// Throws Error kBadFile for a part whose checksum is wrong.
void require_intact(const SnapshotInfo& info, const std::string& path);

SummarySort summary_sort(const std::string& word);

}  // namespace memsnap
