#pragma once

#include <boost/program_options.hpp>
#include <string>

#include "report/cli/command.h"
#include "report/report.h"
#include "report/summary_report.h"
#include "snapshot/analysis/containment.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What summary, tree and info have in common.

void add_report_output_options(boost::program_options::options_description& options);
// To standard output, or to the file of -o.
void write_report(const Invocation& invocation, const Report& report);

// The one FILE of the arguments, else the newest of the default directory. A bare number is a process: Error kUsage.
std::string input_file(const Invocation& invocation);
std::string directory_of_snapshots();

SummarySort summary_sort(const std::string& word);

}  // namespace memsnap
