#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "inject/control/left_tracking.h"
#include "report/cli/background.h"
#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/plan.h"
#include "report/cli/processes.h"
#include "report/cli/run_targets.h"
#include "report/cli/session_files.h"
#include "report/cli/tracked_session.h"
#include "report/cli/tracking_options.h"
#include "report/cli/value_types.h"
#include "report/snapshot_facts.h"
#include "report/summary_report.h"
#include "report/tracking_report.h"
#include "report/tree_report.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kTypesShown = 12;

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

ExitCode run_look(const Invocation& invocation, const Capturer& capturer, const Candidate& target) {
  const Capture capture = capturer.take(target);
  invocation.output.write_one(session_report(capture));
  return verdict(capture, invocation.log);
}

// The keeper has it now.
void tell_of_keeper(const Invocation& invocation, Report report, pid_t keeper, const std::string& log,
                    const Candidate& target) {
  report.facts.push_back({"tracked", {true}});
  report.facts.push_back({"keeper", {std::int64_t{keeper}}});
  report.facts.push_back({"log", {log}});
  if (invocation.output.format() != Format::kText) invocation.output.write_one(report);
  invocation.log.notice("in_background",
                        fmt::format("memsnap {} tracks it in the background, and says in {} what there "
                                    "is to say; memsnap detach {} ends it",
                                    keeper, log, target.pid));
}

// Throws what became of an attempt to track; what is left to say of those that are no failure.
ExitCode give_up_tracking(const Invocation& invocation, const Error& error, const SnapshotHeader& header,
                          const std::optional<SavedFile>& file) {
  const ExitCode code = error.code();
  if (code == ExitCode::kTargetHarmed || code == ExitCode::kCannotWrite || code == ExitCode::kBusy) throw error;
  if (option_flag(invocation.options, "require-tracking"))
    throw Error(ExitCode::kGaveUp, fmt::format("allocations could not be tracked: {}", error.what()), error.hint());
  if (in_background(invocation)) throw error;
  invocation.log.warning("not_tracked", fmt::format("allocations were not tracked: {}", error.what()));
  TrackingFindings findings{.header = header, .profile = nullptr};
  findings.refusal = error.what();
  findings.file = file;
  invocation.output.write_one(make_tracking(findings));
  return ExitCode::kDone;
}

std::string group_name(const SnapshotHeader& header) {
  return fmt::format("{}-{}", header.target.pid, header.taken_at_ns / 1'000'000);
}

// What the first snapshot says comes at once; for a program all comes in one document at the end.
ExitCode run_session(const Invocation& invocation, const Capturer& capturer, const Candidate& target,
                     const TrackingRequest& tracking, SessionPlan plan) {
  require_not_kept(target.pid, find_agents(target.pid));
  std::string path = capturer.output_path(target);
  const bool background = in_background(invocation);
  if (background) path = std::filesystem::absolute(path);
  if (!path.empty()) {
    require_writable(path_of_first(path), option_flag(invocation.options, "force"),
                     option_value<SizeOrPercent>(invocation.options, "min-free"));
  }
  Capture before = capturer.keep(capturer.look(target), path);
  const SnapshotHeader header = before.result.snapshot.header;
  const std::optional<SavedFile> file = before.file;
  Report report = session_report(before);
  report.footer.clear();
  if (invocation.output.format() == Format::kText) invocation.output.write_now(report);
  if (!before.result.left_behind.empty()) return verdict(before, invocation.log);
  plan.path = plan.group_path = path;
  plan.in_front = !background;
  if (plan.follow_forks) plan.group = group_name(header);
  try {
    if (!background)
      return TrackedSession(invocation, capturer, target, std::move(plan)).run(tracking, std::move(before));
    const std::string log = path_of_log(path);
    const pid_t keeper =
        start_keeper(invocation, log, [&](const Invocation& own, const std::function<void()>& started) {
          plan.started = started;
          return TrackedSession(own, capturer, target, std::move(plan)).run(tracking, std::move(before));
        });
    tell_of_keeper(invocation, std::move(report), keeper, log, target);
    return ExitCode::kDone;
  } catch (const Error& error) {
    return give_up_tracking(invocation, error, header, file);
  }
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
  const std::optional<TrackingRequest> tracking = tracking_request(invocation);
  const SessionPlan plan = session_plan(invocation);
  const Capturer capturer(invocation, save);
  const std::vector<Candidate> targets = find_targets(selector);
  return for_each_target(invocation, targets, [&](const Candidate& target) {
    if (capturer.is_dry_run()) return write_plan(invocation, target, capturer.plan_path(target));
    return tracking ? run_session(invocation, capturer, target, *tracking, plan)
                    : run_look(invocation, capturer, target);
  });
}

}  // namespace

Command attach_command() {
  Command command;
  command.name = "attach";
  command.summary = "a session with a running process: where its memory is, then who allocates more of it";
  command.arguments = "PID | SELECTOR";
  command.description =
      "Holds the process for milliseconds, freezes a copy, lets it go, walks the copy, prints summary and tree. Then "
      "a\n"
      "tracking agent is loaded, which records who allocates what (sampled) for --for DUR; a last snapshot is taken, "
      "the\n"
      "agent is taken out, and it is proven that nothing of it is left. Without permission to load it, or with\n"
      "--no-inject, the session is the first snapshot.";
  auto add = command.options.add_options();
  add_capture_options(command.options);
  add("no-save", po::bool_switch(), "print only");
  add_tracking_options(command.options);
  command.examples = {{"sudo memsnap attach 4242", "where the memory of process 4242 is, and 10 s of allocations"},
                      {"memsnap attach 4242 --for 1m --sample 64KiB", "a minute, in more detail"},
                      {"memsnap attach 4242 --no-inject", "one snapshot, nothing is loaded"},
                      {"memsnap attach --name 'manage.py runserver' --largest", "the largest that matches"},
                      {"memsnap attach 4242 --no-save --json", "for a script, nothing written"}};
  command.exit_codes = capture_codes();
  command.touches_process = true;
  command.run = run_attach;
  return command;
}

}  // namespace memsnap
