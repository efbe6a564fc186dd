#include <fmt/format.h>

#include <optional>
#include <string>

#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/processes.h"
#include "report/cli/report_command.h"
#include "report/cli/run_targets.h"
#include "report/cli/targets.h"
#include "report/cli/value_types.h"
#include "report/cli/version.h"
#include "report/threads_report.h"
#include "snapshot/session/take_threads.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

ThreadsOptions report_options(const po::variables_map& values) {
  return {.native = option_flag(values, "native"), .locals = option_flag(values, "locals")};
}

// Of a process: the stacks alone need no copy of its heap, what locals retain does.
SnapshotResult take(const Invocation& invocation, const Candidate& target) {
  const ThreadsOptions wanted = report_options(invocation.options);
  const FreezeOptions freeze = freeze_options(invocation.options);
  if (wanted.native && freeze.method == Method::kRead) {
    invocation.log.warning("no_native", "stacks of C code need a stop: --method read gives Python frames only");
  }
  if (!wanted.locals && freeze.method != Method::kFreeze) {
    return take_threads({.pid = target.pid, .start_time = target.start_time, .freeze = freeze, .native = wanted.native},
                        invocation.log);
  }
  SnapshotRequest request;
  request.pid = target.pid;
  request.start_time = target.start_time;
  request.freeze = freeze;
  request.native = wanted.native;
  if (!wanted.locals) request.kind = SnapshotKind::kTypes;
  request.cancelled = invocation.cancelled;
  return take_snapshot(request, invocation.log);
}

void write(const Invocation& invocation, const Snapshot& snapshot) {
  const Report report = make_threads(snapshot, report_options(invocation.options));
  if (invocation.output.format() == Format::kJsonLines && invocation.options.count("output") == 0) {
    return invocation.output.write_line(report);
  }
  write_report(invocation, report);
}

ExitCode run_on_file(const Invocation& invocation, const std::string& file) {
  const bool locals = option_flag(invocation.options, "locals");
  const Snapshot snapshot = load_checked(file, locals ? kPartsAll : kPartThreads);
  if (!snapshot.threads) {
    throw Error(ExitCode::kUsage, "this snapshot has no threads in it: it was taken by an older memsnap",
                "take it again");
  }
  if (locals && snapshot.header.kind != SnapshotKind::kHeap) {
    throw Error(ExitCode::kUsage, "this snapshot has types only: what locals retain is not in it",
                "take one with --kind heap (the default)");
  }
  if (option_flag(invocation.options, "native") && !snapshot.threads->has_native) {
    invocation.log.warning("no_native", "the snapshot has no stacks of C code: it was taken without --native");
  }
  write(invocation, snapshot);
  return ExitCode::kDone;
}

ExitCode run_on_target(const Invocation& invocation, const Candidate& target) {
  SnapshotResult result = take(invocation, target);
  result.snapshot.header.tool_version = version_number();
  write(invocation, result.snapshot);
  if (result.left_behind.empty()) return ExitCode::kDone;
  std::string list;
  for (const std::string& line : result.left_behind) list += line + '\n';
  invocation.log.error("left_behind", Error(ExitCode::kLeftBehind, "something was left behind in the process", list));
  return ExitCode::kLeftBehind;
}

ExitCode run_threads(const Invocation& invocation) {
  const auto& words = invocation.arguments;
  if (words.size() == 1 && !parse_process_number(words.front())) return run_on_file(invocation, words.front());
  const Selector selector = read_selector(invocation.options, words);
  if (is_empty(selector)) return run_on_file(invocation, input_file(invocation));
  if (selector.several == Several::kEach && invocation.output.format() == Format::kJson) {
    throw Error(ExitCode::kUsage, "--json is one document: --each needs --jsonl", "");
  }
  return for_each_target(invocation, find_targets(selector),
                         [&](const Candidate& target) { return run_on_target(invocation, target); });
}

}  // namespace

Command threads_command() {
  Command command;
  command.name = "threads";
  command.summary = "what each thread does: its Python stack, what it waits for, who holds the GIL";
  command.arguments = "[PID | SELECTOR | FILE]";
  command.description =
      "One stop of a few milliseconds, however large the process is; it may be stuck in C, deadlocked or stopped by\n"
      "SIGSTOP. A circle of threads that wait for each other is said to be a deadlock. --locals also takes a copy of\n"
      "the heap, as memsnap snapshot does. Without an argument: the newest snapshot of the default directory.";
  auto add = command.options.add_options();
  add_selector_options(command.options, true);
  add("native", po::bool_switch(), "also the frames of C code, with symbols and lines where they are installed");
  add("locals", po::bool_switch(), "also what each frame's local variables retain");
  add("method", one_of("method", {"auto", "freeze", "stop", "read"}),
      "stop (as auto): a short stop; freeze: a copy-on-write child; read: no stop, Python frames only, not consistent");
  add("wait", po::value<Duration>()->value_name("DUR"), "how long to wait until it can be stopped; default 5s");
  add("max-pause", po::value<Duration>()->value_name("DUR"), "longest time it may be stopped; default 250ms");
  add_report_output_options(command.options);
  command.examples = {{"sudo memsnap threads 4242", "where every thread of process 4242 is"},
                      {"memsnap threads 4242 --native", "with the C code below and between"},
                      {"memsnap threads shop.msnap --locals --json", "out of a snapshot, with what locals retain"}};
  command.exit_codes = {ExitCode::kNoSuchProcess, ExitCode::kNoPermission, ExitCode::kUnsupported, ExitCode::kBusy,
                        ExitCode::kGaveUp,        ExitCode::kSomeFailed,   ExitCode::kCannotWrite, ExitCode::kBadFile,
                        ExitCode::kTargetHarmed,  ExitCode::kLeftBehind};
  command.touches_process = true;
  command.run = run_threads;
  return command;
}

}  // namespace memsnap
