#include <fmt/format.h>
#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "attach/process_id.h"
#include "inject/control/left_tracking.h"
#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/process_facts.h"
#include "report/cli/processes.h"
#include "report/cli/run_targets.h"
#include "report/cli/targets.h"
#include "report/detach_report.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{50};
constexpr std::chrono::seconds kKeeperPatience{60};  // it takes a last snapshot first

double in_ms(std::chrono::nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

// The session that tracks it is asked to end as by Ctrl-C: with a last snapshot, and a file. False: it did not.
bool end_session(const Invocation& invocation, pid_t target, pid_t keeper) {
  if (::kill(keeper, SIGINT) != 0) return false;
  const auto deadline = steady_clock::now() + kKeeperPatience;
  while (steady_clock::now() < deadline && !invocation.cancelled()) {
    if (find_agents(target).empty()) return true;
    std::this_thread::sleep_for(kPoll);
  }
  return false;
}

DetachFindings detach(const Invocation& invocation, pid_t pid) {
  DetachFindings findings{.pid = pid};
  const ProcessId target = ProcessId::open(pid);
  const std::vector<FoundAgent> agents = find_agents(pid);
  findings.found = !agents.empty();
  if (!findings.found) return findings;
  const bool force = option_flag(invocation.options, "force");
  const auto kept =
      std::find_if(agents.begin(), agents.end(), [](const FoundAgent& agent) { return agent.keeper != 0; });
  if (kept != agents.end() && !force) {
    if (!end_session(invocation, pid, kept->keeper)) {
      throw Error(ExitCode::kGaveUp, fmt::format("memsnap {} tracks process {} and does not end", kept->keeper, pid),
                  "--force takes the agent out from under it");
    }
    findings.ended_keeper = kept->keeper;
    return findings;
  }
  const FreezeOptions freeze = freeze_options(invocation.options);
  const auto end =
      end_left_tracking(target, {.wait = freeze.wait, .max_pause = freeze.max_pause}, invocation.log, force);
  if (!end) return findings;
  findings.pause_ms = in_ms(std::max({end->unhook_pause, end->proof_pause, end->unmap_pause}));
  findings.hooks_undone = end->patches_undone;
  findings.left_behind = end->left_behind;
  return findings;
}

ExitCode detach_and_tell(const Invocation& invocation, pid_t pid) {
  const DetachFindings findings = detach(invocation, pid);
  const Report report = make_detach(findings);
  if (invocation.output.format() == Format::kJsonLines) {
    invocation.output.write_line(report);
  } else {
    invocation.output.write(report);
  }
  return verdict(findings.left_behind, invocation.log);
}

// Every process that has an agent in it.
std::vector<Candidate> tracked_processes() {
  std::vector<Candidate> found;
  for (const auto& [pid, parent] : all_processes()) {
    try {
      if (find_agents(pid).empty()) continue;
      Candidate candidate;
      candidate.pid = pid;
      found.push_back(candidate);
    } catch (const Error&) {
      continue;  // it has ended, or is another user's
    }
  }
  return found;
}

ExitCode run_detach(const Invocation& invocation) {
  const bool all = option_flag(invocation.options, "all");
  const Selector selector = read_selector(invocation.options, invocation.arguments);
  if (all != is_empty(selector)) throw Error(ExitCode::kUsage, "a process, or --all", "memsnap detach PID");
  const std::vector<Candidate> targets = all ? tracked_processes() : find_targets(selector);
  if (targets.empty()) invocation.log.notice("nothing", "no process has anything of memsnap in it");
  if (targets.size() > 1 && invocation.output.format() == Format::kJson)
    throw Error(ExitCode::kUsage, "--json is one document: several processes need --jsonl", "");
  return for_each_target(invocation, targets,
                         [&](const Candidate& target) { return detach_and_tell(invocation, target.pid); });
}

}  // namespace

Command detach_command() {
  Command command;
  command.name = "detach";
  command.summary = "take the tracking agent out of a process";
  command.arguments = "PID | SELECTOR | --all";
  command.description =
      "A memsnap that is still tracking the process is asked to end its session, as by Ctrl-C. What a memsnap that "
      "was\n"
      "killed has left is taken out: hooks are undone, and the agent is unmapped once nothing leads into it any more.";
  auto add = command.options.add_options();
  add_selector_options(command.options, true);
  add("all", po::bool_switch(), "every process that has an agent in it");
  add("force", po::bool_switch(), "also from under a memsnap that is tracking it");
  add_freeze_options(command.options);
  command.examples = {{"memsnap detach 4242", "end what tracks process 4242"},
                      {"memsnap detach --all", "clean up after memsnaps that were killed"}};
  command.exit_codes = {ExitCode::kNoSuchProcess, ExitCode::kNoPermission, ExitCode::kBusy,      ExitCode::kGaveUp,
                        ExitCode::kSomeFailed,    ExitCode::kTargetHarmed, ExitCode::kLeftBehind};
  command.touches_process = true;
  command.run = run_detach;
  return command;
}

}  // namespace memsnap
