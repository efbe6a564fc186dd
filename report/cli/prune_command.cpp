#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <system_error>

#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/point_logs.h"
#include "report/cli/report_command.h"
#include "report/cli/retention.h"
#include "report/cli/unfinished_files.h"
#include "report/prune_report.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

void prune_logs(const std::string& directory, std::chrono::milliseconds keep_for, PruneFindings& findings) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  for (const OldPointLog& log : outdated_point_logs(directory, keep_for, now_ns)) {
    if (!findings.pretend) remove_point_log(log.path);
    findings.removed.push_back({log.path, log.bytes, log.last_point_ns, log.pid, log.name});
  }
}

constexpr std::chrono::hours kLeastAge{1};

void prune_unfinished(const std::string& directory, PruneFindings& findings) {
  for (const UnfinishedFile& file : unfinished_files(directory, kLeastAge)) {
    if (!findings.pretend) remove_unfinished(file.path);
    findings.removed.push_back({file.path, file.bytes, file.written_ns, 0, "unfinished"});
  }
}

ExitCode run_prune(const Invocation& invocation) {
  const Retention retention = read_retention(invocation.options);
  if (retention.is_empty()) {
    throw Error(ExitCode::kUsage, "which snapshots are to go?",
                "say what is kept: --keep, --keep-for, --max-total or --thin");
  }
  if (invocation.arguments.size() > 1) throw Error(ExitCode::kUsage, "one directory at a time", "");
  const std::string directory =
      invocation.arguments.empty() ? directory_of_snapshots(invocation.options) : invocation.arguments.front();
  std::error_code error;
  if (!invocation.arguments.empty() && !std::filesystem::is_directory(directory, error)) {
    throw Error(ExitCode::kBadFile, fmt::format("{} is no directory", directory), "name the one the snapshots are in");
  }
  const bool pretend = option_flag(invocation.options, "dry-run");
  const Pruned pruned = prune(stored_snapshots(directory), retention, pretend);
  PruneFindings findings{.directory = directory, .pretend = pretend};
  for (const StoredSnapshot& file : pruned.removed)
    findings.removed.push_back({file.path, file.bytes, file.taken_at_ns, file.pid, file.name});
  if (retention.keep_for) prune_logs(directory, *retention.keep_for, findings);
  prune_unfinished(directory, findings);
  findings.kept = pruned.kept.size();
  for (const StoredSnapshot& file : pruned.kept) findings.kept_bytes += file.bytes;
  write_report(invocation, make_prune_report(findings));
  return ExitCode::kDone;
}

}  // namespace

Command prune_command() {
  Command command;
  command.name = "prune";
  command.summary = "remove old snapshots";
  command.arguments = "[DIR]";
  command.description =
      "Without DIR: the default directory. Only whole files go, and only snapshots of memsnap; the newest always "
      "stays. Processes that have ended count as one for each host, container and name. --keep-for takes also the logs "
      "of memory points of processes that have ended, by their last point. What a memsnap was writing when it was "
      "killed "
      "(NAME.msnap.tmp.PID, of your own, an hour old) always goes.";
  add_retention_options(command.options);
  auto add = command.options.add_options();
  add("thin", po::value<std::string>()->value_name("EVERY:AFTER,..."),
      "keep one in EVERY when older than AFTER; the first, last and largest of a process stay");
  add("dry-run", po::bool_switch(), "only say what would be removed");
  add_report_output_options(command.options);
  command.examples = {{"memsnap prune --thin 1h:1d,1d:30d", "one an hour after a day, one a day after 30 days"},
                      {"memsnap prune /var/lib/memsnap --max-total 2G --dry-run", "what would go"}};
  command.exit_codes = {ExitCode::kCannotWrite, ExitCode::kBadFile};
  command.tabular = true;
  command.run = run_prune;
  return command;
}

}  // namespace memsnap
