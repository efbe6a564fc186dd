#include <fmt/format.h>

#include <utility>

#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/plan.h"
#include "report/cli/processes.h"
#include "report/cli/run_targets.h"
#include "report/cli/value_types.h"
#include "report/snapshot_facts.h"
#include "report/summary_report.h"
#include "report/tree_report.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kTypesShown = 12;

void check_tracking(const Invocation& invocation) {
  const auto duration = option_value<Duration>(invocation.options, "for");
  if (option_flag(invocation.options, "require-tracking")) {
    throw Error(ExitCode::kGaveUp, "tracking of allocations is not built yet: nothing was done",
                "without --require-tracking the session is one snapshot");
  }
  const bool wanted = duration && duration->value.count() != 0;
  if (wanted && !option_flag(invocation.options, "no-inject")) {
    invocation.log.warning("no_tracking", "tracking of allocations is not built yet: the session is one snapshot");
  }
}

// The whole session in one report: who, the types, what holds what, and where it was saved.
Report session_report(const Capture& capture) {
  const SnapshotHeader& header = capture.result.snapshot.header;
  SummaryOptions options;
  options.rows = kTypesShown;
  options.mean = false;
  Report report = make_summary(capture.result.snapshot, options);
  report.schema = "memsnap.attach/1";
  report.tree = make_tree(capture.result.snapshot, {}).tree;
  for (NamedFact& fact : make_snapshot_report(header, capture.file, capture.result.left_behind).facts) {
    report.facts.push_back(std::move(fact));
  }
  Line last;
  if (capture.file) {
    last.text("saved ").text(capture.file->path, Emphasis::kStrong).text("  ").bytes(capture.file->bytes);
    last.text("      next: memsnap tree, memsnap summary");
  } else {
    last.text("not saved");
  }
  report.footer = {Line(), last};
  return report;
}

ExitCode run_attach(const Invocation& invocation) {
  const Selector selector = read_selector(invocation.options, invocation.arguments);
  if (is_empty(selector)) {
    throw Error(ExitCode::kUsage, "which process?", "memsnap attach PID; memsnap ps lists the Python processes");
  }
  if (selector.several == Several::kEach && invocation.output.format() == Format::kJson) {
    throw Error(ExitCode::kUsage, "--json is one document: --each needs --jsonl", "");
  }
  const bool save = !option_flag(invocation.options, "no-save");
  if (!save && invocation.options.count("output") != 0) {
    throw Error(ExitCode::kUsage, "-o and --no-save exclude each other", "");
  }
  check_tracking(invocation);
  const Capturer capturer(invocation, save);
  const std::vector<Candidate> targets = find_targets(selector);
  return for_each_target(invocation, targets, [&](const Candidate& target) {
    if (capturer.is_dry_run()) return write_plan(invocation, target, capturer.plan_path(target));
    const Capture capture = capturer.take(target);
    const Report report = session_report(capture);
    if (invocation.output.format() == Format::kJsonLines) {
      invocation.output.write_line(report);
    } else {
      invocation.output.write(report);
    }
    return verdict(capture, invocation.log);
  });
}

}  // namespace

Command attach_command() {
  Command command;
  command.name = "attach";
  command.summary = "look at a running process: where its memory is, by type and by what holds it";
  command.arguments = "PID | SELECTOR";
  command.description =
      "Holds the process for milliseconds, freezes a copy, lets it go, walks the copy, prints summary and tree, and "
      "saves the snapshot. Tracking of allocations, the second half of a session, is not built yet.";
  auto add = command.options.add_options();
  add_capture_options(command.options);
  add("no-save", po::bool_switch(), "print only");
  add("no-inject", po::bool_switch(), "one snapshot, no tracking (all there is yet)");
  add("for", po::value<Duration>()->value_name("DUR"), "how long to track allocations (not built yet; 0: not at all)");
  add("require-tracking", po::bool_switch(), "code 7 when allocations cannot be tracked");
  command.examples = {{"sudo memsnap attach 4242", "where the memory of process 4242 is, now"},
                      {"memsnap attach --name 'manage.py runserver' --largest", "the largest that matches"},
                      {"memsnap attach 4242 --no-save --json", "for a script, nothing written"}};
  command.exit_codes = capture_codes();
  command.touches_process = true;
  command.run = run_attach;
  return command;
}

}  // namespace memsnap
