#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "report/cli/commands.h"
#include "report/cli/history.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/growth_report.h"
#include "snapshot/analysis/growth.h"
#include "snapshot/analysis/holders.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr double kNanosecond = 1e-9;

struct Dated {
  std::string path;
  SnapshotHeader header;
};

// The files named, or all of a process, in the order in which they were taken.
std::vector<Dated> chosen_files(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.arguments;
  std::vector<std::string> paths;
  const std::string directory = directory_of_snapshots(invocation.options);
  const auto pid = words.size() == 1 ? parse_process_number(words.front()) : std::nullopt;
  if (pid) paths = snapshots_of(directory, pid->value);
  for (const std::string& word : words) {
    if (!pid) paths.push_back(snapshot_named(word, directory));
  }
  if (paths.size() < 3) {
    throw Error(ExitCode::kUsage, fmt::format("three snapshots at least show a growth, not {}", paths.size()),
                "memsnap growth FILE FILE FILE..., or memsnap growth PID; memsnap diff compares two");
  }
  std::vector<Dated> files;
  files.reserve(paths.size());
  for (const std::string& path : paths) files.push_back({path, load_checked(path, 0).header});
  std::stable_sort(files.begin(), files.end(),
                   [](const Dated& a, const Dated& b) { return a.header.taken_at_ns < b.header.taken_at_ns; });
  return files;
}

// Collects one step after the other: what was not seen before was nothing then.
class SeriesTable {
 public:
  explicit SeriesTable(std::size_t steps) : steps_(steps) {}

  void add(const HolderPath& name, std::size_t step, const Totals& totals) {
    std::vector<Totals>& row = rows_[name];
    row.resize(steps_);
    row[step].count += totals.count;
    row[step].size += totals.size;
  }

  std::vector<Series> take() {
    std::vector<Series> series;
    for (auto& [name, steps] : rows_) series.push_back({name.first, name.second, std::move(steps)});
    rows_.clear();
    return series;
  }

 private:
  std::size_t steps_;
  std::map<HolderPath, std::vector<Totals>> rows_;
};

ExitCode run_growth(const Invocation& invocation) {
  const std::vector<Dated> files = chosen_files(invocation);
  const bool heap = std::all_of(files.begin(), files.end(),
                                [](const Dated& file) { return file.header.kind == SnapshotKind::kHeap; });
  SeriesTable types(files.size());
  SeriesTable holders(files.size());
  std::vector<SnapshotHeader> headers;
  std::vector<double> seconds;
  for (std::size_t step = 0; step < files.size(); ++step) {
    const Snapshot snapshot = load_snapshot(files[step].path, heap ? kPartsTree : kPartTypes);
    const HeapGraph& graph = snapshot.graph;
    for (const TypeEntry& type : graph.types) {
      types.add({std::string(graph.strings.text(type.name)), ""}, step, {type.count, type.size});
    }
    if (heap && graph.dominator.size() == graph.node_count()) {
      for (const auto& [path, totals] : holder_totals(graph, {})) holders.add(path, step, totals);
    }
    headers.push_back(files[step].header);
    seconds.push_back(static_cast<double>(files[step].header.taken_at_ns - files[0].header.taken_at_ns) * kNanosecond);
  }
  const std::size_t min_steps = option_value<WholeNumber>(invocation.options, "min-steps")
                                    .value_or(WholeNumber{static_cast<std::uint32_t>(files.size() - 1)})
                                    .value;
  GrowthOptions options;
  options.rows = option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{25}).value;
  write_report(invocation, make_growth(headers, find_growth(types.take(), seconds, min_steps),
                                       find_growth(holders.take(), seconds, min_steps), options));
  return ExitCode::kDone;
}

}  // namespace

Command growth_command() {
  Command command;
  command.name = "growth";
  command.summary = "what grew in every step of three or more snapshots, and how fast";
  command.arguments = "FILE FILE FILE... | PID";
  command.description =
      "Types, and what each path of holders retains. FIT is the R squared of a straight line: 1 is a steady leak.\n"
      "PID: all its snapshots in the default directory. The order is that of their times.";
  auto add = command.options.add_options();
  add("min-steps", po::value<WholeNumber>()->value_name("N"), "it grew in N steps at least; default: in every one");
  add("rows,n", po::value<WholeNumber>()->value_name("ROWS"), "at most so many of each; 0: all; default 25");
  add_report_output_options(command.options);
  command.examples = {{"memsnap growth shop-4242-*.msnap", "the snapshots of a night"},
                      {"memsnap growth 4242 --min-steps 5 --json", "for a script"}};
  command.exit_codes = {ExitCode::kCannotWrite, ExitCode::kBadFile};
  command.tabular = true;
  command.run = run_growth;
  return command;
}

}  // namespace memsnap
