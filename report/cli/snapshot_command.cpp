#include <fmt/format.h>

#include <optional>

#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/files.h"
#include "report/cli/metrics_file.h"
#include "report/cli/option_values.h"
#include "report/cli/processes.h"
#include "report/cli/rounds.h"
#include "report/cli/run_targets.h"
#include "report/cli/snapshot_condition.h"
#include "report/cli/snapshot_taker.h"
#include "report/cli/value_types.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

ExitCode run_core(const Invocation& invocation, const Selector& selector, const std::string& core) {
  if (!is_empty(selector)) throw Error(ExitCode::kUsage, "a process and --core: give one of them", "");
  for (const char* option : {"every", "lock", "if-rss-over", "if-grew", "point"}) {
    if (invocation.options.count(option) != 0)
      throw Error(ExitCode::kUsage, fmt::format("--{} is for a process that runs, and --core is none", option), "");
  }
  return show_snapshot(invocation, Capturer(invocation, true).take_core(core));
}

void check_streams(const Invocation& invocation, const Selector& selector, const Rounds& rounds) {
  if (invocation.output.format() == Format::kJson && (selector.several == Several::kEach || rounds.every)) {
    throw Error(ExitCode::kUsage,
                fmt::format("--json is one document: {} needs --jsonl", rounds.every ? "--every" : "--each"), "");
  }
  const auto pattern = option_value<std::string>(invocation.options, "output");
  if (rounds.every && pattern && names_one_file(*pattern) && !option_flag(invocation.options, "force")) {
    throw Error(ExitCode::kUsage, "--every writes several files, and -o names one",
                "put %t (the time) into -o, or let -f replace it each time");
  }
}

ExitCode run_snapshot(const Invocation& invocation) {
  const auto core = option_value<std::string>(invocation.options, "core");
  const Selector selector = read_selector(invocation.options, invocation.arguments);
  if (core) return run_core(invocation, selector, *core);
  for (const char* option : {"exe", "sysroot"}) {
    if (invocation.options.count(option) != 0)
      throw Error(ExitCode::kUsage, fmt::format("--{} goes with --core", option), "");
  }
  if (is_empty(selector)) {
    throw Error(ExitCode::kUsage, "which process?", "memsnap snapshot PID; memsnap ps lists the Python processes");
  }
  const Rounds rounds = read_rounds(invocation.options);
  check_streams(invocation, selector, rounds);
  SnapshotTaker taker(invocation);
  MetricsFile metrics(invocation.options);
  return each_round(invocation, rounds, selector.is_pid_only(), [&] {
    return metrics.of_round([&] {
      const std::vector<Candidate> targets = find_targets(selector);
      metrics.expect(targets);
      return for_each_target(invocation, targets, [&](const Candidate& target) {
        const ExitCode code = taker.take(target, [&](const Capture& capture) { metrics.add(capture.result.snapshot); });
        metrics.done();
        return code;
      });
    });
  });
}

}  // namespace

Command snapshot_command() {
  Command command;
  command.name = "snapshot";
  command.summary = "take a snapshot of a process and save it";
  command.arguments = "PID | SELECTOR | --core CORE";
  command.description =
      "The process is held for milliseconds, a copy of it is frozen, it runs on, and the copy is walked. Nothing is "
      "loaded into it. A core file of a process that has ended gives the same; the programs and libraries that it "
      "leaves out are found by build id.";
  auto add = command.options.add_options();
  add("kind", one_of("kind", {"session", "types", "heap"}),
      "heap (default): every object and reference; types: count and size of each type; session: one total, and where "
      "the RSS is");
  add("core", po::value<std::string>()->value_name("CORE"), "a core file, by the kernel or by gcore, not a process");
  add("exe", po::value<std::string>()->value_name("FILE"), "the program of the core");
  add("sysroot", po::value<std::string>()->value_name("DIR"), "where the files are that the core's process had mapped");
  add_capture_options(command.options);
  add_round_options(command.options);
  add_condition_options(command.options);
  add_taker_options(command.options);
  add_metrics_options(command.options);
  command.examples = {{"memsnap snapshot 4242", "every object of process 4242, into the default directory"},
                      {"memsnap snapshot 4242 -o /tmp/%n-%t.msnap --json", "to a file, the result for a script"},
                      {"memsnap snapshot --name 'gunicorn: worker' --each -q --kind types", "all workers, from cron"},
                      {"memsnap snapshot --unit shop --each -q --keep 48 --lock auto --jitter 60s",
                       "those of a service, at most 48 of each"},
                      {"memsnap snapshot 4242 --every 15m --if-grew 10%", "whenever it grew, until it ends"},
                      {"memsnap snapshot --core core.4242 --sysroot /mnt/web", "of a process that has ended"},
                      {"memsnap snapshot 4242 --dry-run", "the plan, and whether it would work"}};
  command.exit_codes = capture_codes();
  command.exit_codes.push_back(ExitCode::kBadFile);
  command.touches_process = true;
  command.run = run_snapshot;
  return command;
}

}  // namespace memsnap
