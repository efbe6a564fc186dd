#include <fmt/format.h>

#include <algorithm>

#include "report/cli/command_line.h"
#include "report/cli/commands.h"
#include "report/cli/completion.h"
#include "report/cli/help.h"
#include "report/cli/option_values.h"
#include "report/cli/program.h"
#include "report/cli/value_types.h"
#include "report/cli/version.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

ExitCode run_help(const Invocation& invocation) {
  const std::vector<Command> commands = all_commands();
  if (option_flag(invocation.options, "man")) {
    invocation.output.write_text(manual_page(commands, version_number()));
    return ExitCode::kDone;
  }
  if (option_flag(invocation.options, "markdown")) {
    invocation.output.write_text(markdown_help(commands));
    return ExitCode::kDone;
  }
  if (const auto shell = option_value<std::string>(invocation.options, "completion")) {
    const auto completion = *shell == "bash" ? bash_completion : *shell == "zsh" ? zsh_completion : fish_completion;
    invocation.output.write_text(completion(commands));
    return ExitCode::kDone;
  }
  if (invocation.arguments.empty()) {
    invocation.output.write_text(overview_help(commands));
    return ExitCode::kDone;
  }
  const std::string& name = invocation.arguments.front();
  std::vector<std::string> names;
  for (const Command& command : commands) {
    names.push_back(command.name);
    const auto& aliases = command.aliases;
    if (command.name != name && std::find(aliases.begin(), aliases.end(), name) == aliases.end()) continue;
    invocation.output.write_text(command_help(command));
    return ExitCode::kDone;
  }
  const std::string meant = nearest_word(name, names);
  throw Error(ExitCode::kUsage, fmt::format("unknown command '{}'", name),
              meant.empty() ? "memsnap help lists the commands" : fmt::format("did you mean {}?", meant));
}

}  // namespace

std::vector<Command> all_commands() {
  std::vector<Command> commands;
  for (const auto make : {ps_command,       doctor_command,  memory_command,  attach_command, run_command,
                          snapshot_command, watch_command,   detach_command,  live_command,   point_command,
                          log_command,      summary_command, tree_command,    table_command,  stats_command,
                          roots_command,    objects_command, inspect_command, diff_command,   growth_command,
                          threads_command,  info_command,    export_command,  prune_command,  help_command}) {
    commands.push_back(make());
  }
  return commands;
}

Command help_command() {
  Command command;
  command.name = "help";
  command.summary = "this help, or that of a command";
  command.arguments = "[COMMAND]";
  auto add = command.options.add_options();
  add("man", po::bool_switch(), "the manual page, as troff");
  add("markdown", po::bool_switch(), "the reference page");
  add("completion", one_of("completion", {"bash", "zsh", "fish"}), "completion of the command line, for a shell");
  command.examples = {{"memsnap help snapshot", "everything about memsnap snapshot"},
                      {"memsnap help --completion bash > ~/.local/share/bash-completion/completions/memsnap",
                       "completion, where the package of memsnap is not installed"}};
  command.run = run_help;
  return command;
}

}  // namespace memsnap
