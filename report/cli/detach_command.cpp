#include <fmt/format.h>
#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "attach/process_id.h"
#include "attach/reaper.h"
#include "inject/control/left_tracking.h"
#include "report/cli/background.h"
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

constexpr std::chrono::milliseconds kPoll{20};
constexpr std::chrono::minutes kKeeperPatience{5};  // it takes a last snapshot first, and saves it

double in_ms(std::chrono::nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

StopLimits stop_limits(const Invocation& invocation) {
  const FreezeOptions freeze = freeze_options(invocation.options);
  return {.wait = freeze.wait, .max_pause = freeze.max_pause};
}

bool has_agents(pid_t pid) {
  try {
    return !find_agents(pid).empty();
  } catch (const Error&) {  // it has ended
    return false;
  }
}

// The session that tracks it is asked to end with a last snapshot, and a file. A keeper is waited for; a session at
// somebody's terminal only till it has let go. Throws Error when it does not, or could not save.
void end_session(const Invocation& invocation, pid_t target, pid_t keeper, DetachFindings& findings) {
  const ProcessId memsnap = ProcessId::open(keeper);
  const KeeperLog log(keeper);
  findings.ended_keeper = keeper;
  memsnap.require_alive();
  if (::kill(keeper, SIGTERM) != 0) {
    throw Error(ExitCode::kNoPermission,
                fmt::format("memsnap {} tracks process {} and is another user's", keeper, target),
                "run as root, or as that user");
  }
  const auto deadline = steady_clock::now() + kKeeperPatience;
  while (memsnap.alive() && (log.there() || has_agents(target))) {
    if (invocation.cancelled() || steady_clock::now() >= deadline) {
      throw Error(ExitCode::kGaveUp,
                  fmt::format("memsnap {} tracks process {}, was asked to end, and has not yet", keeper, target),
                  "it goes on ending; memsnap detach waits again, --force kills it");
    }
    std::this_thread::sleep_for(kPoll);
  }
  if (!log.there()) return;
  KeeperEnd end = log.end();
  if (!end.told && end.error) throw Error(end.error->code(), end.error->what(), "the process is as it was");
  findings.file = std::move(end.file);
  findings.hooks_undone = end.hooks_undone;
  findings.pause_ms = end.pause_ms;
  findings.left_behind = std::move(end.left_behind);
  findings.warnings = std::move(end.warnings);
  findings.child_files = std::move(end.child_files);
}

// One that goes on would hook what was just unhooked, and lead the process into memory that is gone.
void kill_keeper(pid_t target, pid_t keeper) {
  constexpr std::chrono::seconds kDying{10};
  const ProcessId memsnap = ProcessId::open(keeper);
  if (::kill(keeper, SIGKILL) != 0) {
    throw Error(ExitCode::kNoPermission,
                fmt::format("memsnap {} tracks process {} and is another user's", keeper, target),
                "run as root, or as that user");
  }
  const auto deadline = steady_clock::now() + kDying;
  while (memsnap.alive()) {
    if (steady_clock::now() >= deadline)
      throw Error(ExitCode::kGaveUp, fmt::format("memsnap {} was killed, and is still there", keeper), "try again");
    std::this_thread::sleep_for(kPoll);
  }
}

// What a memsnap that is gone has left in one process.
void take_out(const Invocation& invocation, pid_t pid, DetachFindings& findings) {
  const auto end = end_left_tracking(ProcessId::open(pid), stop_limits(invocation), invocation.log);
  if (!end) return;
  findings.found = true;
  findings.pause_ms =
      std::max(findings.pause_ms, in_ms(std::max({end->unhook_pause, end->proof_pause, end->unmap_pause})));
  findings.hooks_undone += end->patches_undone;
  findings.left_behind.insert(findings.left_behind.end(), end->left_behind.begin(), end->left_behind.end());
}

// Frozen copies of memsnaps that were killed: dead, and nobody else takes them off the process table.
void take_back_copies(pid_t pid, DetachFindings& findings) {
  const ProcessId target = ProcessId::open(pid);
  for (const LeftChild& child : left_children(pid)) {
    findings.found = true;
    if (reap(target, child)) {
      ++findings.copies_reaped;
    } else {
      findings.left_behind.push_back(
          fmt::format("a dead child, pid {}, that process {} did not take back", child.pid, pid));
    }
  }
}

// Children that were tracked with it, by memsnaps that were killed as well. One that is alive is not ours to end: it
// ends by itself with the session it belongs to.
void take_out_of_children(const Invocation& invocation, pid_t pid, DetachFindings& findings) {
  std::set<pid_t> family{pid};
  const auto processes = all_processes();
  for (bool grown = true; std::exchange(grown, false);) {
    for (const auto& [child, parent] : processes) {
      if (family.count(parent) != 0 && family.insert(child).second) grown = true;
    }
  }
  family.erase(pid);
  for (const pid_t child : family) {
    try {
      take_out(invocation, child, findings);
    } catch (const Error& error) {
      if (error.code() == ExitCode::kTargetHarmed) throw;
      if (error.code() != ExitCode::kNoSuchProcess && error.code() != ExitCode::kBusy)
        invocation.log.info("child", error.what());
    }
  }
}

DetachFindings detach(const Invocation& invocation, pid_t pid) {
  DetachFindings findings{.pid = pid};
  const ProcessId target = ProcessId::open(pid);
  const std::vector<FoundAgent> agents = find_agents(pid);
  findings.found = !agents.empty();
  const auto kept =
      std::find_if(agents.begin(), agents.end(), [](const FoundAgent& agent) { return agent.keeper != 0; });
  if (kept != agents.end() && option_flag(invocation.options, "force")) {
    kill_keeper(pid, kept->keeper);
  } else if (kept != agents.end()) {
    end_session(invocation, pid, kept->keeper, findings);
  }
  // After a session there is nothing left to do, unless it was killed while it ended.
  if (target.alive() && findings.left_behind.empty()) take_out(invocation, pid, findings);
  if (target.alive()) take_back_copies(pid, findings);
  if (target.alive()) take_out_of_children(invocation, pid, findings);
  return findings;
}

ExitCode detach_and_tell(const Invocation& invocation, pid_t pid) {
  const DetachFindings findings = detach(invocation, pid);
  const Report report = make_detach(findings);
  invocation.output.write_one(report);
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
      "was killed has left is taken out: hooks are undone, and the agent is unmapped once nothing leads into it any "
      "more, "
      "and a frozen copy is reaped.";
  auto add = command.options.add_options();
  add_selector_options(command.options, true);
  add("all", po::bool_switch(), "every process that has an agent in it");
  add("force", po::bool_switch(), "a memsnap that is tracking it is killed, and what it recorded is lost");
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
