#include <fmt/format.h>

#include <algorithm>

#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/plan.h"
#include "report/cli/processes.h"
#include "report/cli/run_targets.h"
#include "report/cli/value_types.h"
#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

std::string plain_text(const Line& line, Units units) {
  std::string text;
  for (const Piece& piece : pieces_of(line, units)) text += piece.text;
  return text;
}

// On stderr, so that standard output is the result alone.
void tell(const Invocation& invocation, const SnapshotHeader& header) {
  const std::string held = header.method == "core"   ? "from a core file"
                           : header.method == "read" ? "not stopped"
                                                     : fmt::format("stopped for {:.1f} ms", header.pause_ms);
  invocation.log.notice("snapshot_taken", fmt::format("{} {}, CPython {}, {}", header.target.pid, header.target.name,
                                                      header.target.python, held));
  for (const Line& line : caveats(header)) {
    const std::string text = plain_text(line, invocation.output.style().units);
    const std::string message = text.substr(std::min(text.find_first_not_of(' '), text.size()));
    // What is merely good to know is not a warning.
    if (line.spans().front().emphasis == Emphasis::kWarning) {
      invocation.log.warning("caveat", message);
    } else {
      invocation.log.info("remark", message);
    }
  }
}

ExitCode show(const Invocation& invocation, const Capture& capture) {
  const SnapshotHeader& header = capture.result.snapshot.header;
  tell(invocation, header);
  const Report report = make_snapshot_report(header, capture.file, capture.result.left_behind);
  if (invocation.output.format() == Format::kJsonLines) {
    invocation.output.write_line(report);
  } else {
    invocation.output.write(report);
  }
  return verdict(capture, invocation.log);
}

ExitCode run_snapshot(const Invocation& invocation) {
  const auto core = option_value<std::string>(invocation.options, "core");
  const Selector selector = read_selector(invocation.options, invocation.arguments);
  if (core) {
    if (!is_empty(selector)) throw Error(ExitCode::kUsage, "a process and --core: give one of them", "");
    return show(invocation, Capturer(invocation, true).take_core(*core));
  }
  for (const char* option : {"exe", "sysroot"}) {
    if (invocation.options.count(option) != 0)
      throw Error(ExitCode::kUsage, fmt::format("--{} goes with --core", option), "");
  }
  if (is_empty(selector)) {
    throw Error(ExitCode::kUsage, "which process?", "memsnap snapshot PID; memsnap ps lists the Python processes");
  }
  if (selector.several == Several::kEach && invocation.output.format() == Format::kJson) {
    throw Error(ExitCode::kUsage, "--json is one document: --each needs --jsonl", "");
  }
  const Capturer capturer(invocation, true);
  const std::vector<Candidate> targets = find_targets(selector);
  return for_each_target(invocation, targets, [&](const Candidate& target) {
    if (capturer.is_dry_run()) return write_plan(invocation, target, capturer.plan_path(target));
    return show(invocation, capturer.take(target));
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
  add("kind", one_of("kind", {"types", "heap"}),
      "heap (default): every object and reference; types: count and size of each type");
  add("core", po::value<std::string>()->value_name("CORE"), "a core file, by the kernel or by gcore, not a process");
  add("exe", po::value<std::string>()->value_name("FILE"), "the program of the core");
  add("sysroot", po::value<std::string>()->value_name("DIR"), "where the files are that the core's process had mapped");
  add_capture_options(command.options);
  command.options.add_options()("native", boost::program_options::bool_switch(),
                                "keep the stacks of C code too, for memsnap threads --native");
  command.examples = {{"memsnap snapshot 4242", "every object of process 4242, into the default directory"},
                      {"memsnap snapshot 4242 -o /tmp/%n-%t.msnap --json", "to a file, the result for a script"},
                      {"memsnap snapshot --name 'gunicorn: worker' --each -q --kind types", "all workers, from cron"},
                      {"memsnap snapshot --core core.4242 --sysroot /mnt/web", "of a process that has ended"},
                      {"memsnap snapshot 4242 --dry-run", "the plan, and whether it would work"}};
  command.exit_codes = capture_codes();
  command.exit_codes.push_back(ExitCode::kBadFile);
  command.touches_process = true;
  command.run = run_snapshot;
  return command;
}

}  // namespace memsnap
