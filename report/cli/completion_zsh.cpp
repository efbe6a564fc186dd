#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/cli/command_line.h"
#include "report/cli/completion.h"
#include "report/cli/option_forms.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kFunctions = R"zsh(
_memsnap_processes() {
  local -a found
  found=(${(f)"$(_call_program processes memsnap ps --csv 2>/dev/null | awk -F, '$1 ~ /^[0-9]+$/ { print $1 ":CPython " $3 ", " $10 }')"})
  _describe -V process found
}

_memsnap_snapshots() {
  _files -g '*.(msnap|points)'
}

_memsnap_processes_or_snapshots() {
  _alternative processes:process:_memsnap_processes files:snapshot:_memsnap_snapshots
}

_memsnap() {
  local curcontext=$curcontext state state_descr line
  local -A opt_args
  local -a global
  _memsnap_set_global
  _arguments -C -S : $global '1: :_memsnap_commands' '*:: :->arguments' && return
  [[ $state == arguments ]] || return 1
  curcontext=${curcontext%:*}-$words[1]:
  _memsnap_command $words[1]
}

_memsnap "$@"
)zsh";

// In an option's explanation these end it.
std::string explanation(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// Colons part what a specification is made of.
std::string message(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string action(const Offered& offered) {
  const std::string words = fmt::format("{}", fmt::join(offered.words, " "));
  switch (offered.kind) {
    case Offer::kNothing:
      return " ";
    case Offer::kWords:
      return '(' + words + ')';
    case Offer::kList:
      return "{_sequence compadd - " + words + '}';
    case Offer::kFiles:
      return "_files";
    case Offer::kSnapshots:
      return "_memsnap_snapshots";
    case Offer::kFolders:
      return "_directories";
    case Offer::kProcesses:
      return "_memsnap_processes";
    case Offer::kUsers:
      return "_users";
    case Offer::kCommands:
      return "_memsnap_commands";
  }
  return " ";
}

std::string option_specs(const po::options_description& options, std::string_view indent) {
  std::string out;
  for (const auto& option : options.options()) {
    const std::string letter = short_form(*option);
    const std::string name = "--" + option->long_name();
    std::string before;
    if (is_repeatable(*option)) {
      before = "*";
    } else if (!letter.empty()) {
      before = fmt::format("({} {})", letter, name);
    }
    const bool valued = takes_value(*option);
    std::string after = '[' + explanation(option->description()) + ']';
    if (valued) after += fmt::format(":{}:{}", message(value_form(*option)), action(offered_value(*option)));
    const auto spec = [&](const std::string& form, std::string_view sign) {
      return fmt::format("{}{}\n", indent, in_quotes(fmt::format("{}{}{}{}", before, form, valued ? sign : "", after)));
    };
    if (!letter.empty()) out += spec(letter, "+");
    out += spec(name, "=");
  }
  return out;
}

std::string argument_spec(const Command& command) {
  const std::vector<Offer> offers = offered_arguments(command);
  if (offers.empty()) return "";
  const std::string done = offers.size() > 1 ? "_memsnap_processes_or_snapshots" : action({offers.front(), {}});
  return fmt::format("        {}\n", in_quotes(fmt::format("*:{}:{}", message(command.arguments), done)));
}

}  // namespace

std::string zsh_completion(const std::vector<Command>& commands) {
  std::string names;
  std::string cases;
  for (const Command& command : commands) {
    names += fmt::format("    {}\n", in_quotes(command.name + ':' + command.summary));
    std::string pattern = command.name;
    for (const std::string& alias : command.aliases) pattern += '|' + alias;
    std::string specs = option_specs(command.options, "        ") + argument_spec(command);
    cases += fmt::format("    {})\n      specs=(\n{}      )\n      ;;\n", pattern, specs);
  }
  std::string out = "#compdef memsnap\n# Completion for zsh, made by: memsnap help --completion zsh\n\n";
  out += fmt::format("_memsnap_set_global() {{\n  global=(\n{}  )\n}}\n\n", option_specs(global_options(), "    "));
  out += fmt::format("_memsnap_commands() {{\n  local -a names\n  names=(\n{}  )\n  _describe command names\n}}\n\n",
                     names);
  out += fmt::format(
      "_memsnap_command() {{\n  local -a specs\n  case $1 in\n{}    *) return 1 ;;\n  esac\n"
      "  if [[ $1 == run ]]; then\n    _arguments -S -A '-*' : $global $specs\n  else\n"
      "    _arguments -S : $global $specs\n  fi\n}}\n",
      cases);
  out += kFunctions;
  return out;
}

}  // namespace memsnap
