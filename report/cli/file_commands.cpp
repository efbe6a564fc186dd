#include <fmt/format.h>

#include <limits>

#include "report/cli/allocation_choice.h"
#include "report/cli/commands.h"
#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/info_report.h"
#include "report/profile_stats_report.h"
#include "report/profile_tree_report.h"
#include "report/stats_report.h"
#include "report/tree_report.h"
#include "snapshot/analysis/waste.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

TreeLimits tree_limits(const Invocation& invocation, TreeLimits limits) {
  limits.depth = option_value<WholeNumber>(invocation.options, "depth").value_or(WholeNumber{limits.depth}).value;
  limits.min_percent = option_value<Percent>(invocation.options, "min").value_or(Percent{limits.min_percent}).value;
  limits.max_children =
      option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{limits.max_children}).value;
  return limits;
}

ExitCode run_tree(const Invocation& invocation) {
  ProfileTreeOptions options;
  options.measure = chosen_measure(invocation);
  options.inverted = option_flag(invocation.options, "inverted");
  options.all_frames = option_flag(invocation.options, "all-frames");
  const auto by = option_value<std::string>(invocation.options, "by");
  const bool implied = by == "stack" || options.inverted || options.all_frames;
  const std::string file = input_file(invocation);
  bool calls = false;
  const Snapshot snapshot = load_chosen(file, [&](const FileContents& contents) {
    if (by == "dominator" && !contents.objects) {
      throw Error(ExitCode::kUsage, fmt::format("{} has allocations only: nothing holds anything in it", file),
                  "--by stack shows who called what allocated");
    }
    calls = by != "dominator" && wants_allocations(invocation, contents, file, implied);
    return calls ? kPartProfile : kPartsTree;
  });
  if (calls) {
    options.limits = tree_limits(invocation, options.limits);
    write_report(invocation, make_profile_tree(snapshot, options));
  } else {
    write_report(invocation, make_tree(snapshot, tree_limits(invocation, {})));
  }
  return ExitCode::kDone;
}

ExitCode run_stats(const Invocation& invocation) {
  StatsOptions options;
  options.largest = option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{5}).value;
  const std::string file = input_file(invocation);
  bool allocations = false;
  const Snapshot snapshot = load_chosen(file, [&](const FileContents& contents) {
    allocations = option_flag(invocation.options, "allocations") || !contents.objects;
    if (allocations) require_allocations(contents, file);
    return allocations ? kPartProfile : kPartTypes | kPartNodes | kPartAddresses | kPartEdges;
  });
  if (allocations) {
    write_report(invocation, make_profile_stats(snapshot, options.largest));
    return ExitCode::kDone;
  }
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
  invocation.output.write_one(report);
}

ExitCode run_info(const Invocation& invocation) {
  std::vector<std::string> files = invocation.arguments;
  if (files.empty()) files.push_back(newest_snapshot(directory_of_snapshots(invocation.options)));
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

Command tree_command() {
  Command command;
  command.name = "tree";
  command.summary = "what holds what, from modules down to the objects; or who called what allocated";
  command.arguments = "[FILE]";
  command.description =
      "Of objects: each line holds everything below it: when it goes, they go. Equal siblings are one line, [*].\n"
      "Of allocations: the calls, with all that was allocated below each. A file that has both shows its objects, "
      "unless an option is given that only allocations have.\n"
      "Without FILE: the newest snapshot of the default directory.";
  auto add = command.options.add_options();
  add("by", one_of("by", {"dominator", "stack"}), "objects by what holds them, or allocations by calls");
  add("depth", po::value<WholeNumber>()->value_name("N"), "levels; 0: all; default 8, of allocations all");
  add("min", po::value<Percent>()->value_name("PCT"), "leave out what retains less than PCT of all bytes; default 1");
  add("rows,n", po::value<WholeNumber>()->value_name("N"), "at most so many below one line; 0: all; default 20");
  add_allocation_options(command.options);
  add("inverted", po::bool_switch(), "from the calls that allocated, out to their callers");
  add("all-frames", po::bool_switch(), "with the frames of the import system");
  add("static", po::bool_switch(), "print and leave (there is no other way yet)");
  add_report_output_options(command.options);
  command.examples = {{"memsnap tree", "the newest snapshot"},
                      {"memsnap tree --min 5 --depth 4 shop.msnap", "only what is large and near"},
                      {"memsnap tree --leaks --inverted shop.msnap", "who allocated what was not freed"},
                      {"memsnap tree --json shop.msnap", "for a script"}};
  command.exit_codes = file_codes();
  command.tabular = true;
  command.run = run_tree;
  return command;
}

Command stats_command() {
  Command command;
  command.name = "stats";
  command.summary = "sizes of objects, the largest ones, what could be saved; or totals of allocations";
  command.arguments = "[FILE]";
  command.description =
      "Of allocations: totals, rates, the peak, sizes of blocks, allocators, the lines that allocated most.\n"
      "Could be saved: equal str and bytes values that are there more than once, empty dicts, dicts and lists with "
      "much more room than entries, sets of one.\n"
      "Without FILE: the newest snapshot of the default directory.";
  auto add = command.options.add_options();
  add("rows,n", po::value<WholeNumber>()->value_name("N"), "list the N largest objects, or lines; default 5");
  add("allocations", po::bool_switch(), "of a file that has objects too: what was allocated");
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
