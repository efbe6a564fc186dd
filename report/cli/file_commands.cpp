#include <fmt/format.h>

#include <limits>

#include "report/cli/commands.h"
#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/info_report.h"
#include "report/stats_report.h"
#include "report/summary_report.h"
#include "report/tree_report.h"
#include "snapshot/analysis/waste.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

ExitCode run_summary(const Invocation& invocation) {
  SummaryOptions options;
  options.rows = option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{25}).value;
  options.min_percent = option_value<Percent>(invocation.options, "min").value_or(Percent{}).value;
  options.sort = summary_sort(option_value<std::string>(invocation.options, "sort").value_or("size"));
  write_report(invocation, make_summary(load_checked(input_file(invocation), kPartTypes), options));
  return ExitCode::kDone;
}

ExitCode run_tree(const Invocation& invocation) {
  TreeLimits limits;
  limits.depth = option_value<WholeNumber>(invocation.options, "depth").value_or(WholeNumber{limits.depth}).value;
  limits.min_percent = option_value<Percent>(invocation.options, "min").value_or(Percent{limits.min_percent}).value;
  limits.max_children =
      option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{limits.max_children}).value;
  write_report(invocation, make_tree(load_checked(input_file(invocation), kPartsTree), limits));
  return ExitCode::kDone;
}

ExitCode run_stats(const Invocation& invocation) {
  StatsOptions options;
  options.largest = option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{5}).value;
  const Snapshot snapshot = load_checked(input_file(invocation), kPartTypes | kPartNodes | kPartAddresses | kPartEdges);
  if (snapshot.header.kind != SnapshotKind::kHeap) {
    throw Error(ExitCode::kUsage, "this snapshot has types only: there are no objects in it",
                "take one with --kind heap (the default)");
  }
  write_report(invocation, make_stats(snapshot, find_waste(snapshot), options));
  return ExitCode::kDone;
}

void write_info(const Invocation& invocation, const std::string& file, const SnapshotInfo& info) {
  FileFacts facts{file, info.file_size, info.format_version, info.intact, {}};
  for (const PartInfo& part : info.parts) {
    facts.parts.push_back({part.name, part.items, part.stored, part.raw, part.known, part.intact});
  }
  const Report report = make_info(info.header, facts);
  // Several files: one line each.
  if (invocation.output.format() == Format::kJsonLines) return invocation.output.write_line(report);
  invocation.output.write(report);
}

ExitCode run_info(const Invocation& invocation) {
  std::vector<std::string> files = invocation.arguments;
  if (files.empty()) files.push_back(newest_snapshot(directory_of_snapshots()));
  if (files.size() > 1 && invocation.output.format() == Format::kJson) {
    throw Error(ExitCode::kUsage, "--json is one document: several files need --jsonl", "");
  }
  bool intact = true;
  for (const std::string& file : files) {
    const SnapshotInfo info = inspect_snapshot(file);
    write_info(invocation, file, info);
    intact = intact && info.intact;
  }
  return intact ? ExitCode::kDone : ExitCode::kBadFile;
}

const std::vector<ExitCode>& file_codes() {
  static const std::vector<ExitCode> codes{ExitCode::kCannotWrite, ExitCode::kBadFile};
  return codes;
}

}  // namespace

Command summary_command() {
  Command command;
  command.name = "summary";
  command.summary = "objects by type, with what they take and what they retain";
  command.arguments = "[FILE]";
  command.description =
      "Without FILE: the newest snapshot of the default directory ($MEMSNAP_DIR, else ~/.local/state/memsnap).\n"
      "SIZE is the objects' own, RETAINED what would go with them, NATIVE what C code keeps for them. Types are "
      "module.qualname; the terminal leaves out "
      "builtins.";
  auto add = command.options.add_options();
  add("by", one_of("by", {"type"}), "what a row is");
  add("sort", one_of("sort", {"size", "count", "retained", "native", "mean", "name"}), "largest first; default size");
  add("rows,n", po::value<WholeNumber>()->value_name("ROWS"), "at most so many rows; 0: all; default 25");
  add("min", po::value<Percent>()->value_name("PCT"), "leave out types below PCT of all bytes, own and retained");
  add_report_output_options(command.options);
  command.examples = {{"memsnap summary", "the newest snapshot"},
                      {"memsnap summary --sort retained -n 10 shop.msnap", "the ten types that retain most"},
                      {"memsnap summary -n 0 --csv shop.msnap > types.csv", "all types for a spreadsheet"}};
  command.exit_codes = file_codes();
  command.tabular = true;
  command.run = run_summary;
  return command;
}

Command tree_command() {
  Command command;
  command.name = "tree";
  command.summary = "what holds what: from modules, threads and types down to the objects";
  command.arguments = "[FILE]";
  command.description =
      "Each line holds everything below it: when it goes, they go. Equal siblings are one line, [*].\n"
      "Without FILE: the newest snapshot of the default directory.";
  auto add = command.options.add_options();
  add("by", one_of("by", {"dominator"}), "what holds means");
  add("depth", po::value<WholeNumber>()->value_name("N"), "levels; 0: all; default 8");
  add("min", po::value<Percent>()->value_name("PCT"), "leave out what retains less than PCT of all bytes; default 1");
  add("rows,n", po::value<WholeNumber>()->value_name("N"), "at most so many below one line; 0: all; default 20");
  add("static", po::bool_switch(), "print and leave (there is no other way yet)");
  add_report_output_options(command.options);
  command.examples = {{"memsnap tree", "the newest snapshot"},
                      {"memsnap tree --min 5 --depth 4 shop.msnap", "only what is large and near"},
                      {"memsnap tree --json shop.msnap", "for a script"}};
  command.exit_codes = file_codes();
  command.tabular = true;
  command.run = run_tree;
  return command;
}

Command stats_command() {
  Command command;
  command.name = "stats";
  command.summary = "sizes of the objects, the largest ones, and bytes that could be saved";
  command.arguments = "[FILE]";
  command.description =
      "Could be saved: equal str and bytes values that are there more than once, empty dicts, dicts and lists with "
      "much more room than entries, sets of one.\n"
      "Without FILE: the newest snapshot of the default directory.";
  auto add = command.options.add_options();
  add("rows,n", po::value<WholeNumber>()->value_name("N"), "list the N largest objects; default 5");
  add_report_output_options(command.options);
  command.examples = {{"memsnap stats", "the newest snapshot"}, {"memsnap stats --json shop.msnap", "for a script"}};
  command.exit_codes = file_codes();
  command.tabular = true;
  command.run = run_stats;
  return command;
}

Command info_command() {
  Command command;
  command.name = "info";
  command.summary = "what a snapshot file holds: process, time, method, sizes, integrity, what was left out";
  command.arguments = "[FILE...]";
  command.description = "Reads the whole file, and so checks its sums.";
  command.examples = {{"memsnap info shop.msnap", "one file"}, {"memsnap info --jsonl *.msnap", "one line a file"}};
  command.exit_codes = file_codes();
  command.run = run_info;
  return command;
}

}  // namespace memsnap
