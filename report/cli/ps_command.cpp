#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/process_facts.h"
#include "report/cli/processes.h"
#include "report/cli/report_command.h"
#include "report/cli/targets.h"
#include "report/cli/value_types.h"
#include "report/process_report.h"

namespace memsnap {
namespace {

ProcessRow row_of(const ProcessFacts& facts) {
  ProcessRow row;
  row.pid = facts.info.pid;
  row.user = facts.info.user;
  row.rss = facts.rss;
  row.age_seconds = facts.info.uptime_seconds;
  row.threads = facts.threads;
  row.container = facts.info.container;
  row.name = facts.info.name;
  row.command_line = facts.info.command_line;
  bool permitted = may_attach(facts.info.pid);
  if (permitted) {
    const PythonFacts python = read_python(facts.info.pid);
    permitted = !python.error || python.error->code() != ExitCode::kNoPermission;
    row.python = python.version;
    if (python.error) row.reason = python.error->what();
  }
  if (facts.tracer != 0) {
    row.attach = "no: traced";
    row.reason = fmt::format("process {} traces it", facts.tracer);
  } else if (!permitted) {
    row.attach = ::geteuid() == 0 ? "no: refused" : "root only";
    row.reason = ::geteuid() == 0 ? "the kernel refuses it even to this root" : "another user's, or refused by Yama";
  } else {
    row.attach = row.reason.empty() ? "ok" : "no: unsupported";
  }
  return row;
}

void sort_rows(std::vector<ProcessRow>& rows, const std::string& key) {
  std::sort(rows.begin(), rows.end(), [&](const ProcessRow& a, const ProcessRow& b) {
    if (key == "rss" && a.rss != b.rss) return a.rss > b.rss;
    if (key == "age" && a.age_seconds != b.age_seconds) return a.age_seconds > b.age_seconds;
    return a.pid < b.pid;
  });
}

ExitCode run_ps(const Invocation& invocation) {
  const Selector selector = read_selector(invocation.options, invocation.arguments);
  const std::vector<std::pair<pid_t, pid_t>> processes = all_processes();
  std::vector<ProcessFacts> facts;
  std::vector<Candidate> pythons;
  for (const auto& [pid, parent] : processes) {
    auto process = read_process(pid);
    if (!process || !looks_like_python(*process)) continue;
    pythons.push_back(candidate_from(*process));
    facts.push_back(std::move(*process));
  }
  const std::vector<Candidate> wanted = matching(selector, pythons, processes);
  std::vector<ProcessRow> rows;
  for (const ProcessFacts& process : facts) {
    const bool is_wanted = std::any_of(wanted.begin(), wanted.end(),
                                       [&](const Candidate& candidate) { return candidate.pid == process.info.pid; });
    if (is_wanted) rows.push_back(row_of(process));
  }
  sort_rows(rows, option_value<std::string>(invocation.options, "sort").value_or("rss"));
  write_report(invocation, make_process_list(rows));
  return ExitCode::kDone;
}

}  // namespace

Command ps_command() {
  Command command;
  command.name = "ps";
  command.summary = "the Python processes, and which of them can be looked at";
  command.arguments = "[PID | SELECTOR]";
  command.description =
      "ATTACH is ok, root only, no: traced (by a debugger), no: unsupported or no: refused; --json has the reason. "
      "Nothing is attached or stopped to find it out.";
  add_selector_options(command.options, false);
  command.options.add_options()("sort", one_of("sort", {"rss", "pid", "age"}), "largest first; default rss");
  add_report_output_options(command.options);
  command.examples = {{"memsnap ps", "all of them, the largest first"},
                      {"memsnap ps --user www --csv", "those of www, for a script"}};
  command.exit_codes = {ExitCode::kCannotWrite};
  command.tabular = true;
  command.run = run_ps;
  return command;
}

}  // namespace memsnap
