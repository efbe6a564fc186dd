#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/live_screens.h"
#include "report/cli/option_values.h"
#include "report/cli/processes.h"
#include "report/cli/run_targets.h"
#include "report/cli/targets.h"
#include "report/cli/tracking_options.h"
#include "report/cli/value_types.h"
#include "snapshot/session/watch_tracked.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::chrono::milliseconds kLeastInterval{100};
constexpr std::chrono::milliseconds kUsualInterval{2000};

ExitCode show_live(const Invocation& invocation, const Candidate& target) {
  const bool once = option_flag(invocation.options, "once");
  LiveScreens screens(invocation, target.pid, once);
  TrackingRequest request = tracking_request(invocation).value_or(TrackingRequest());
  request.pid = target.pid;
  request.start_time = target.start_time;
  request.slice = kUsualInterval;
  if (const auto interval = option_value<Duration>(invocation.options, "interval")) request.slice = interval->value;
  if (request.slice < kLeastInterval) throw Error(ExitCode::kUsage, "--interval is 100ms at least", "");
  request.duration = std::chrono::milliseconds(0);
  request.cancelled = [&screens] { return screens.is_over(); };
  request.on_slice = [&screens](std::chrono::milliseconds, const SliceRecorder& recorder) { screens.show(recorder); };
  if (auto tracked = find_tracked(target.pid)) {
    invocation.log.notice(
        "connected", fmt::format("{} is tracked by memsnap {}: nothing is loaded", target.pid, tracked->agent.keeper));
    watch_tracked(target.pid, *tracked, request);
    return ExitCode::kDone;
  }
  const TrackingResult result = track_allocations(request, invocation.log);
  return verdict(result.left_behind, invocation.log);
}

ExitCode run_live(const Invocation& invocation) {
  const Selector selector = read_selector(invocation.options, invocation.arguments);
  if (is_empty(selector)) throw Error(ExitCode::kUsage, "which process?", "memsnap live PID");
  const Format format = invocation.output.format();
  const bool once = option_flag(invocation.options, "once");
  if (!once && format == Format::kJson)
    throw Error(ExitCode::kUsage, "--json is one document", "--once --json gives one screen, --jsonl one a line");
  if (!once && format == Format::kText)
    throw Error(ExitCode::kUsage, "the full screen is not built yet", "--once prints one, --jsonl one on each line");
  if (selector.several == Several::kEach) throw Error(ExitCode::kUsage, "one process at a time", "");
  return for_each_target(invocation, find_targets(selector),
                         [&](const Candidate& target) { return show_live(invocation, target); });
}

}  // namespace

Command live_command() {
  Command command;
  command.name = "live";
  command.summary = "who allocates what in a process, as it goes on";
  command.arguments = "PID | SELECTOR";
  command.description =
      "Loads the tracking agent as memsnap attach does, and prints what is live by function: one screen with --once, "
      "one\n"
      "on each line with --jsonl, until Ctrl-C; then the agent is taken out. Of a process that another memsnap tracks\n"
      "it shows what that one records, and loads nothing.";
  auto add = command.options.add_options();
  add_selector_options(command.options, false);
  add("once", po::bool_switch(), "one screen, after one interval");
  add("interval", po::value<Duration>()->value_name("DUR"), "between two screens; default 2s");
  add("rows,n", po::value<WholeNumber>()->value_name("ROWS"), "at most so many rows; 0: all; default 25");
  add("sort", one_of("sort", {"total", "own", "count"}), "largest first; default total");
  add_recording_options(command.options);
  add("wait", po::value<Duration>()->value_name("DUR"), "how long to wait until it can be stopped; default 5s");
  add("max-pause", po::value<Duration>()->value_name("DUR"), "longest time it may be stopped; default 250ms");
  command.examples = {{"sudo memsnap live 4242 --once", "what the next two seconds allocate"},
                      {"memsnap live 4242 --jsonl --interval 10s", "for a program, until Ctrl-C"}};
  command.exit_codes = {ExitCode::kNoSuchProcess, ExitCode::kNoPermission, ExitCode::kUnsupported, ExitCode::kBusy,
                        ExitCode::kGaveUp,        ExitCode::kTargetHarmed, ExitCode::kLeftBehind};
  command.touches_process = true;
  command.run = run_live;
  return command;
}

}  // namespace memsnap
