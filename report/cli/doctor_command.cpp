#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/doctor_checks.h"
#include "report/cli/option_values.h"
#include "report/cli/processes.h"
#include "report/cli/report_command.h"
#include "report/cli/run_targets.h"
#include "report/cli/targets.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

ExitCode write_diagnosis(const Invocation& invocation, pid_t pid) {
  DoctorResult result = check_machine();
  if (pid != 0) {
    DoctorResult process =
        check_process(pid, directory_of_snapshots(invocation.options), freeze_options(invocation.options));
    result.checks.insert(result.checks.end(), std::make_move_iterator(process.checks.begin()),
                         std::make_move_iterator(process.checks.end()));
    if (result.code == ExitCode::kDone) result.code = process.code;
  }
  Diagnosis diagnosis;
  diagnosis.pid = pid;
  diagnosis.works = result.code == ExitCode::kDone;
  diagnosis.checks = std::move(result.checks);
  diagnosis.conclusion = pid == 0 ? (diagnosis.works ? "This machine is fine: memsnap doctor PID looks at a process"
                                                     : "A snapshot would not work on this machine")
                         : diagnosis.works ? fmt::format("A snapshot would work: memsnap snapshot {}", pid)
                                           : fmt::format("A snapshot of {} would not work", pid);
  const Report report = make_diagnosis(diagnosis, option_flag(invocation.options, "fix-hints"));
  invocation.output.write_one(report);
  return result.code;
}

ExitCode run_doctor(const Invocation& invocation) {
  const Selector selector = read_selector(invocation.options, invocation.arguments);
  if (is_empty(selector)) return write_diagnosis(invocation, 0);
  if (selector.several == Several::kEach && invocation.output.format() == Format::kJson) {
    throw Error(ExitCode::kUsage, "--json is one document: --each needs --jsonl", "");
  }
  return for_each_target(invocation, find_targets(selector),
                         [&](const Candidate& target) { return write_diagnosis(invocation, target.pid); });
}

}  // namespace

Command doctor_command() {
  Command command;
  command.name = "doctor";
  command.summary = "whether a snapshot would work, and why not";
  command.arguments = "[PID | SELECTOR]";
  command.description =
      "Checks the machine, and a process when one is named; each check has a verdict. Nothing is attached or stopped. "
      "Code 0 when a snapshot would work.";
  add_selector_options(command.options, true);
  command.options.add_options()("fix-hints", po::bool_switch(),
                                "what to do, also where nothing is wrong enough to say so");
  add_freeze_options(command.options);
  command.examples = {{"memsnap doctor", "the machine"}, {"memsnap doctor 4242", "the machine and process 4242"}};
  command.exit_codes = {ExitCode::kNoSuchProcess, ExitCode::kNoPermission, ExitCode::kUnsupported, ExitCode::kBusy,
                        ExitCode::kGaveUp};
  command.run = run_doctor;
  return command;
}

}  // namespace memsnap
