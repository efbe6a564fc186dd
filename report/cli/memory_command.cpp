#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attach/memory_map.h"
#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/error_report.h"
#include "report/cli/option_values.h"
#include "report/cli/processes.h"
#include "report/cli/run_targets.h"
#include "report/cli/value_types.h"
#include "report/group_memory_report.h"
#include "report/memory_report.h"
#include "snapshot/session/take_snapshot.h"

namespace memsnap {
namespace {

MemoryMetric metric_of(const Invocation& invocation) {
  constexpr std::array<std::pair<const char*, MemoryMetric>, 6> kMetrics{{{"rss", MemoryMetric::kRss},
                                                                          {"pss", MemoryMetric::kPss},
                                                                          {"uss", MemoryMetric::kUss},
                                                                          {"pyobj", MemoryMetric::kObjects},
                                                                          {"heap", MemoryMetric::kHeap},
                                                                          {"all", MemoryMetric::kAll}}};
  const std::string word = option_value<std::string>(invocation.options, "metric").value_or("rss");
  for (const auto& [name, metric] : kMetrics) {
    if (word == name) return metric;
  }
  return MemoryMetric::kRss;
}

// RSS, PSS and USS are the kernel's figures: the process is not stopped for them, and may be any program.
SnapshotHeader kernel_figures(const Candidate& target) {
  SnapshotHeader header;
  header.target.pid = target.pid;
  const MemoryUse use = read_memory_use(target.pid);
  header.memory.rss = use.rss;
  header.memory.pss = use.pss;
  header.memory.uss = use.uss;
  return header;
}

bool is_kernels(MemoryMetric metric) {
  return metric == MemoryMetric::kRss || metric == MemoryMetric::kPss || metric == MemoryMetric::kUss;
}

// A server and its workers are one thing: what they have together, and what they share. Those that may not be looked
// at, as a master that runs as root, are told of, and the others shown.
ExitCode run_group(const Invocation& invocation, const Selector& selector) {
  std::vector<GroupMember> members;
  std::optional<Error> refused;
  for (const Candidate& process : find_group(selector)) {
    try {
      const MemoryUse use = read_memory_use(process.pid);
      members.push_back({process.pid, process.parent, process.command_line, use.rss, use.pss, use.uss,
                         read_shared_anonymous(process.pid)});
    } catch (const Error& error) {
      if (error.code() == ExitCode::kNoSuchProcess) continue;  // a worker may end at any time
      if (refused) invocation.log.error(event_of(refused->code()), *refused);
      refused = error;
    }
  }
  if (members.empty()) {
    if (refused) throw Error(*refused);
    throw Error(ExitCode::kNoSuchProcess, "all of them have just ended", "memsnap ps lists those there are");
  }
  if (refused) invocation.log.error(event_of(refused->code()), *refused);
  invocation.output.write(make_group_memory(members));
  return refused ? ExitCode::kSomeFailed : ExitCode::kDone;
}

SnapshotResult measure(const Invocation& invocation, const Candidate& target, MemoryMetric metric,
                       const FreezeOptions& freeze) {
  if (is_kernels(metric)) {
    SnapshotResult result;
    result.snapshot.header = kernel_figures(target);
    return result;
  }
  SnapshotRequest request;
  request.pid = target.pid;
  request.start_time = target.start_time;
  request.freeze = freeze;
  request.kind = SnapshotKind::kSession;
  request.totals_only = metric == MemoryMetric::kObjects;
  request.strings = StringsPolicy::kNone;
  request.cancelled = invocation.cancelled;
  return take_snapshot(request, invocation.log);
}

ExitCode run_memory(const Invocation& invocation) {
  const Selector selector = read_selector(invocation.options, invocation.arguments);
  if (is_empty(selector)) {
    throw Error(ExitCode::kUsage, "which process?", "memsnap memory PID; memsnap ps lists the Python processes");
  }
  if (selector.several == Several::kEach && invocation.output.format() == Format::kJson) {
    throw Error(ExitCode::kUsage, "--json is one document: --each needs --jsonl", "");
  }
  const MemoryMetric metric = metric_of(invocation);
  if (selector.kind != SelectorKind::kPid && selector.several == Several::kRefuse && is_kernels(metric))
    return run_group(invocation, selector);
  const FreezeOptions freeze = freeze_options(invocation.options);
  const std::vector<Candidate> targets = find_targets(selector);
  const Format format = invocation.output.format();
  // A number alone is one process's.
  const bool as_table =
      metric != MemoryMetric::kAll && (format == Format::kCsv || (format == Format::kText && targets.size() > 1));
  std::vector<MemoryFigure> figures;
  const ExitCode code = for_each_target(invocation, targets, [&](const Candidate& target) {
    const SnapshotResult result = measure(invocation, target, metric, freeze);
    const SnapshotHeader& header = result.snapshot.header;
    if (as_table) {
      figures.push_back({target.pid, target.name, memory_figure(header, metric)});
    } else {
      invocation.output.write_one(make_memory(header, metric));
    }
    return verdict(result.left_behind, invocation.log);
  });
  if (!figures.empty()) invocation.output.write(make_memory_figures(figures, metric));
  return code;
}

}  // namespace

Command memory_command() {
  Command command;
  command.name = "memory";
  command.summary = "how much memory a process has, and where its RSS is";
  command.arguments = "PID | SELECTOR";
  command.description =
      "Prints, and records nothing. rss (default), pss and uss are the kernel's figures, for which nothing is stopped. "
      "pyobj is the size of all live objects; heap what the allocators hold; all accounts for every resident page: "
      "Python objects with the blocks they own, pymalloc's free blocks, malloc in use and free (by its own chunks), "
      "stacks, files, shared memory, and the rest. These freeze the process for milliseconds, as snapshot does.\n"
      "A selector (--tree, --unit, ...) without --each: all its processes in one table, and what they share.";
  auto add = command.options.add_options();
  add("metric", one_of("metric", {"rss", "pss", "uss", "pyobj", "heap", "all"}), "which figure; default rss");
  add_selector_options(command.options, true);
  add_freeze_options(command.options);
  command.examples = {{"memsnap memory 4242 --units bytes", "RSS, as a number alone"},
                      {"memsnap memory 4242 --metric all", "where it is, and what would return some"},
                      {"memsnap memory 4242 --metric all --json", "for a script"},
                      {"memsnap memory --tree 4242", "a server and its workers, and what they share"}};
  command.exit_codes = capture_codes();
  command.tabular = true;
  command.touches_process = true;
  command.run = run_memory;
  return command;
}

}  // namespace memsnap
