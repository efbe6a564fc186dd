#include "report/cli/report_command.h"

#include <fmt/format.h>
#include <sys/auxv.h>

#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/terminal.h"
#include "report/cli/value_types.h"

namespace memsnap {

namespace po = boost::program_options;

void add_report_output_options(po::options_description& options) {
  options.add_options()("output,o", po::value<std::string>()->value_name("FILE"), "write the report to FILE")(
      "force,f", po::bool_switch(), "replace FILE when it exists");
}

void write_report(const Invocation& invocation, const Report& report) {
  const auto path = option_value<std::string>(invocation.options, "output");
  if (!path) return invocation.output.write(report);
  invocation.output.write_file(report, *path, option_flag(invocation.options, "force"));
}

std::string directory_of_snapshots(const po::variables_map& options) {
  const auto chosen = option_value<std::string>(options, "dir");
  // Where files are is no word on what is done: as root, too, the shell's counts.
  return chosen && !chosen->empty() ? *chosen : default_directory(environment_variable, ::getauxval(AT_SECURE) != 0);
}

std::string input_file(const Invocation& invocation) { return input_file(invocation, invocation.arguments); }

std::string input_file(const Invocation& invocation, const std::vector<std::string>& arguments) {
  if (arguments.size() > 1) {
    throw Error(ExitCode::kUsage, fmt::format("one FILE at a time, not {}", arguments.size()), "");
  }
  if (arguments.empty()) return newest_snapshot(directory_of_snapshots(invocation.options));
  const std::string& file = arguments.front();
  if (parse_process_number(file)) {
    throw Error(ExitCode::kUsage, fmt::format("{} is the number of a process, and a file is wanted", file),
                fmt::format("./{} is a file; memsnap attach {} looks at the process", file, file));
  }
  return file;
}

void require_intact(const SnapshotInfo& info, const std::string& path) {
  for (const PartInfo& part : info.parts) {
    if (part.intact) continue;
    throw Error(ExitCode::kBadFile,
                fmt::format("{} is damaged: the checksum of its part '{}' is wrong", path, part.name),
                "memsnap info lists its parts; take the snapshot again, or fetch the file again");
  }
}

Snapshot load_checked(const std::string& path, Parts wanted) {
  const SnapshotInfo info = inspect_snapshot(path);
  require_intact(info, path);
  if (info.header.kind == SnapshotKind::kAllocations && (wanted & kPartTypes) != 0) {
    throw Error(ExitCode::kUsage, fmt::format("{} has allocations only: there are no objects in it", path),
                "summary, tree, table, stats and diff show allocations; memsnap snapshot takes objects");
  }
  return load_snapshot(path, wanted);
}

SummarySort summary_sort(const std::string& word) {
  if (word == "count") return SummarySort::kCount;
  if (word == "retained") return SummarySort::kRetained;
  if (word == "native") return SummarySort::kNative;
  if (word == "mean") return SummarySort::kMean;
  return word == "name" ? SummarySort::kName : SummarySort::kSize;
}

}  // namespace memsnap
