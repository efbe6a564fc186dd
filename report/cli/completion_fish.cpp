#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/cli/command_line.h"
#include "report/cli/completion.h"
#include "report/cli/option_forms.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kFunctions = R"fish(
function __memsnap_needs_command
    not __memsnap_command >/dev/null
end

function __memsnap_is
    set -l command (__memsnap_command)
    and contains -- $command $argv
end

function __memsnap_processes
    memsnap ps --csv 2>/dev/null | awk -F, '$1 ~ /^[0-9]+$/ { print $1 "\tCPython " $3 ", " $10 }'
end

complete -c memsnap -f
)fish";

// In fish only the backslash and the quote are special between quotes.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + '\'';
}

std::string offer_options(const Offered& offered) {
  const std::string words = fmt::format("{}", fmt::join(offered.words, " "));
  switch (offered.kind) {
    case Offer::kNothing:
      return " -x";
    case Offer::kWords:
      return " -x -a " + quoted(words);
    case Offer::kList:
      return " -x -a " + quoted("(__fish_append , " + words + ")");
    case Offer::kFiles:
      return words.empty() ? " -r -F" : " -r -F -a " + quoted(words);
    case Offer::kSnapshots:
      return " -x -k -a '(__fish_complete_suffix .msnap)'";
    case Offer::kFolders:
      return " -x -a '(__fish_complete_directories)'";
    case Offer::kProcesses:
      return " -x -k -a '(__memsnap_processes)'";
    case Offer::kUsers:
      return " -x -a '(__fish_complete_users)'";
    case Offer::kCommands:
      return "";
  }
  return "";
}

std::string option_lines(const po::options_description& options, const std::string& condition) {
  std::string out;
  for (const auto& option : options.options()) {
    const std::string letter = short_form(*option);
    out +=
        fmt::format("complete -c memsnap{}{} -l {}{} -d {}\n", condition,
                    letter.empty() ? "" : " -s " + letter.substr(1), option->long_name(),
                    takes_value(*option) ? offer_options(offered_value(*option)) : "", quoted(option->description()));
  }
  return out;
}

std::string argument_lines(const Command& command, const std::string& condition, const std::string& names) {
  std::string out;
  for (const Offer offer : offered_arguments(command)) {
    switch (offer) {
      case Offer::kProcesses:
        out += fmt::format("complete -c memsnap{} -k -a '(__memsnap_processes)'\n", condition);
        break;
      case Offer::kSnapshots:
        out += fmt::format("complete -c memsnap{} -k -a '(__fish_complete_suffix .msnap)'\n", condition);
        break;
      case Offer::kFolders:
        out += fmt::format("complete -c memsnap{} -a '(__fish_complete_directories)'\n", condition);
        break;
      case Offer::kCommands:
        out += fmt::format("complete -c memsnap{} -a {}\n", condition, quoted(names));
        break;
      default:
        out += fmt::format("complete -c memsnap{} -F\n", condition);
    }
  }
  return out;
}

}  // namespace

std::string fish_completion(const std::vector<Command>& commands) {
  std::vector<std::string> valued;
  const po::options_description global = global_options();
  for (const auto& option : global.options()) {
    if (takes_value(*option)) valued.push_back("--" + option->long_name());
  }
  std::vector<std::string> names;
  names.reserve(commands.size());
  for (const Command& command : commands) names.push_back(command.name);
  std::string out = "# Completion for fish, made by: memsnap help --completion fish\n\n";
  out += fmt::format(
      "# The command on the line so far; false: none yet.\nfunction __memsnap_command\n    set -l words (commandline "
      "-opc)\n"
      "    set -l skip false\n    for word in $words[2..-1]\n        if $skip\n            set skip false\n            "
      "continue\n"
      "        end\n        switch $word\n            case {}\n                set skip true\n            case '-*'\n"
      "            case '*'\n                echo $word\n                return 0\n        end\n    end\n    return "
      "1\nend\n",
      fmt::join(valued, " "));
  out += kFunctions;
  out += option_lines(global, "");
  for (const Command& command : commands) {
    out += fmt::format("\ncomplete -c memsnap -n __memsnap_needs_command -a {} -d {}\n", command.name,
                       quoted(command.summary));
    std::string known_as = command.name;
    for (const std::string& alias : command.aliases) known_as += ' ' + alias;
    const std::string condition = fmt::format(" -n '__memsnap_is {}'", known_as);
    out += option_lines(command.options, condition);
    out += argument_lines(command, condition, fmt::format("{}", fmt::join(names, " ")));
  }
  return out;
}

}  // namespace memsnap
