#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/cli/allocation_choice.h"
#include "report/cli/allocation_diff.h"
#include "report/cli/commands.h"
#include "report/cli/expression.h"
#include "report/cli/history.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/diff_report.h"
#include "snapshot/analysis/common_holder.h"
#include "snapshot/analysis/diff.h"
#include "snapshot/analysis/path_names.h"
#include "snapshot/analysis/paths.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

const std::vector<std::string>& fail_names() {
  static const std::vector<std::string> names{"delta",   "delta_percent", "old",         "new",    "rss",
                                              "old_rss", "rss_delta",     "count_delta", "largest"};
  return names;
}

DiffBy by_of(const std::string& word) {
  if (word == "module") return DiffBy::kModule;
  if (word == "path") return DiffBy::kPath;
  return word == "memory" ? DiffBy::kMemory : DiffBy::kType;
}

DiffSort sort_of(const std::string& word) {
  if (word == "pct") return DiffSort::kPercent;
  return word == "name" ? DiffSort::kName : DiffSort::kDelta;
}

// FILE FILE, PID@-2 PID@-1, or PID alone: its last two.
std::pair<std::string, std::string> chosen_files(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.arguments;
  const std::string directory = directory_of_snapshots(invocation.options);
  if (words.size() == 1 && parse_process_number(words.front())) {
    return {snapshot_named(words.front() + "@-2", directory), snapshot_named(words.front() + "@-1", directory)};
  }
  if (words.size() == 2) return {snapshot_named(words[0], directory), snapshot_named(words[1], directory)};
  throw Error(ExitCode::kUsage, fmt::format("two snapshots are compared, not {}", words.size()),
              "memsnap diff OLD NEW, or memsnap diff PID for the last two of a process; growth takes more");
}

Snapshot load_for(const std::string& path, Parts parts, DiffBy by) {
  Snapshot snapshot = load_checked(path, parts);
  const bool needs_tree = by == DiffBy::kModule || by == DiffBy::kPath;
  if (!needs_tree) return snapshot;
  if (snapshot.header.kind != SnapshotKind::kHeap || snapshot.graph.dominator.size() != snapshot.graph.node_count()) {
    throw Error(ExitCode::kUsage, fmt::format("{} has types only: what holds what is not in it", path),
                "--by type works; snapshots of --kind heap (the default) have it");
  }
  return snapshot;
}

// Of one process, with every object in both files. References are read only when new objects have a holder to be named.
void compare_objects(const std::pair<std::string, std::string>& files, DiffInput& input) {
  constexpr Parts kObjects = kPartTypes | kPartNodes | kPartAddresses | kPartTexts;
  Snapshot before = load_snapshot(files.first, kObjects);
  Snapshot after = load_snapshot(files.second, kObjects | kPartDominators);
  if (before.header.kind != SnapshotKind::kHeap || after.header.kind != SnapshotKind::kHeap) return;
  input.objects = diff_objects(before.graph, after.graph);
  if (input.objects->added.count == 0 || after.graph.dominator.size() != after.graph.node_count()) return;
  const BitSet added = added_objects(before.graph, after.graph);
  before = {};
  const CommonHolder holder = common_holder(after.graph, added);
  after = {};
  if (holder.node == kNoNode) return;
  const Snapshot whole = load_snapshot(files.second, kPartsTree);
  const auto paths = find_paths(whole.graph, holder.node, {});
  if (paths.empty()) return;
  const NodeNames names(whole.graph);
  input.holder = NewHolder{path_text(whole.graph, names, paths.front()),
                           std::string(whole.graph.type_name(holder.node)), holder.count};
}

std::vector<Change> changes_between(const Snapshot& before, const Snapshot& after, DiffBy by) {
  switch (by) {
    case DiffBy::kModule:
      return diff_holders(before.graph, after.graph, {.depth = 0, .min_percent = 0});
    case DiffBy::kPath:
      return diff_holders(before.graph, after.graph, {});
    case DiffBy::kMemory:
      return diff_memory(before.header.memory, after.header.memory);
    case DiffBy::kType:
      break;
  }
  return diff_types(before.graph, after.graph);
}

bool crossed(const Expression& limit, const DiffInput& input) {
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  const SnapshotHeader& before = input.old_header;
  const SnapshotHeader& after = input.new_header;
  double largest = 0;
  for (const Change& change : input.changes) largest = std::max(largest, static_cast<double>(change.size_delta()));
  return limit.holds([&](const std::string& name) {
    if (name == "old") return number(before.bytes);
    if (name == "new") return number(after.bytes);
    if (name == "rss") return number(after.memory.rss);
    if (name == "old_rss") return number(before.memory.rss);
    if (name == "rss_delta") return number(after.memory.rss) - number(before.memory.rss);
    if (name == "count_delta") return number(after.objects) - number(before.objects);
    if (name == "largest") return largest;
    const double delta = number(after.bytes) - number(before.bytes);
    return name == "delta" ? delta : 100 * delta / number(before.bytes);
  });
}

ExitCode run_diff(const Invocation& invocation) {
  DiffOptions options;
  options.by = by_of(option_value<std::string>(invocation.options, "by").value_or("type"));
  options.sort = sort_of(option_value<std::string>(invocation.options, "sort").value_or("delta"));
  options.rows = option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{25}).value;
  options.min_delta = option_value<ByteCount>(invocation.options, "min-delta").value_or(ByteCount{}).value;
  std::optional<Expression> limit;
  if (const auto text = option_value<std::string>(invocation.options, "fail-on")) {
    limit = Expression::parse(*text, fail_names());
  }
  const auto files = chosen_files(invocation);
  if (diffs_allocations(invocation, files)) return diff_allocations(invocation, files, options, limit);
  const bool tree = options.by == DiffBy::kModule || options.by == DiffBy::kPath;
  const Parts parts = options.by == DiffBy::kMemory ? 0 : tree ? kPartsTree : kPartTypes;
  std::vector<Change> changes;
  SnapshotHeader old_header;
  SnapshotHeader new_header;
  {
    Snapshot before = load_for(files.first, parts, options.by);
    Snapshot after = load_for(files.second, parts, options.by);
    changes = changes_between(before, after, options.by);
    old_header = std::move(before.header);
    new_header = std::move(after.header);
  }
  DiffInput input{old_header,         new_header, same_process(old_header.target, new_header.target),
                  std::move(changes), {},         {}};
  if (input.same_process) compare_objects(files, input);
  const bool fails = limit && crossed(*limit, input);
  const bool differs = std::any_of(input.changes.begin(), input.changes.end(),
                                   [](const Change& change) { return change.old_totals != change.new_totals; });
  write_report(invocation, make_diff(std::move(input), options));
  if (fails) invocation.log.warning("threshold", fmt::format("threshold crossed: {}", limit->text()));
  return fails || (differs && option_flag(invocation.options, "exit-code")) ? ExitCode::kThreshold : ExitCode::kDone;
}

}  // namespace

Command diff_command() {
  Command command;
  command.name = "diff";
  command.summary = "what is new, gone or larger from one snapshot to another";
  command.arguments = "OLD NEW | PID";
  command.description =
      "OLD and NEW are files, or PID@-2 and PID@-1: the last snapshots of a process in the default directory. PID "
      "alone "
      "compares its last two.\n"
      "Objects of one process are matched by address and type, and by the hash of their text where --strings hash kept "
      "one.\n"
      "Files of tracked processes are compared by what was allocated when they have nothing else, or with --by "
      "function, line, file, thread, allocator, --allocations, --leaks, --peak, --temporary.\n"
      "--fail-on EXPR: exit code 1 when it holds. Names: delta, delta_percent, old, new (bytes of all Python objects, "
      "or of all allocations shown), "
      "count_delta, rss, old_rss, rss_delta, largest (the largest growth of one row).";
  auto add = command.options.add_options();
  add("by", one_of("by", {"type", "module", "path", "memory", "function", "line", "file", "thread", "allocator"}),
      "what a row is; of objects module and path: what holds it");
  add("sort", one_of("sort", {"delta", "pct", "name"}), "default delta");
  add("rows,n", po::value<WholeNumber>()->value_name("ROWS"), "at most so many rows; 0: all; default 25");
  add("min-delta", po::value<ByteCount>()->value_name("SIZE"), "leave out smaller changes");
  add("fail-on", po::value<std::string>()->value_name("EXPR"), "exit code 1 when EXPR holds");
  add("exit-code", po::bool_switch(), "exit code 1 when anything differs");
  add_allocation_options(command.options);
  add_report_output_options(command.options);
  command.examples = {{"memsnap diff 4242", "the last two snapshots of a process"},
                      {"memsnap diff --by path yesterday.msnap today.msnap", "what holds more"},
                      {"memsnap diff 4242@-4 4242@-1 --fail-on 'delta > 50MiB'", "for cron"}};
  command.exit_codes = {ExitCode::kThreshold, ExitCode::kCannotWrite, ExitCode::kBadFile};
  command.tabular = true;
  command.run = run_diff;
  return command;
}

}  // namespace memsnap
