#include <fmt/format.h>
#include <fmt/ranges.h>

#include "report/cli/command_line.h"
#include "report/cli/completion.h"
#include "report/cli/option_forms.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

// Behind the tables. An option's value may stand behind "=", which bash makes a word of its own.
constexpr std::string_view kFunctions = R"bash(
_memsnap_offer() {  # KIND WORD...: adds what begins with $cur
  local kind=$1 found
  shift
  case $kind in
    list) mapfile -t found < <(compgen -P "${cur%"${cur##*,}"}" -W "$*" -- "${cur##*,}") ;;
    files) mapfile -t found < <(compgen -f -- "$cur"; compgen -W "$*" -- "$cur") ;;
    snapshots) mapfile -t found < <(compgen -d -- "$cur"; compgen -f -X '!*.msnap' -- "$cur"; compgen -f -X '!*.points' -- "$cur") ;;
    folders) mapfile -t found < <(compgen -d -- "$cur") ;;
    users) mapfile -t found < <(compgen -u -- "$cur") ;;
    processes) mapfile -t found < <(compgen -W "$("$program" ps --csv 2>/dev/null | sed -n 's/^\([0-9][0-9]*\),.*/\1/p')" -- "$cur") ;;
    commands) mapfile -t found < <(compgen -W "$_memsnap_commands" -- "$cur") ;;
    *) mapfile -t found < <(compgen -W "$*" -- "$cur") ;;
  esac
  case $kind in files | snapshots | folders) compopt -o filenames 2>/dev/null ;; esac
  COMPREPLY+=("${found[@]}")
}

_memsnap() {
  local program=$1 cur=${COMP_WORDS[COMP_CWORD]} command='' expects='' words=() word at kind before=''
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=${COMP_WORDS[at]}
    if [[ -n $expects ]]; then
      [[ $word == '=' ]] || expects=''
    elif [[ $word == -* && $word != *=* ]]; then
      [[ $(_memsnap_value "$command" "$word") == flag ]] || expects=$word
    elif [[ $word != -* && -z $command ]]; then
      command=$word
    elif [[ $word != -* && $command == run ]]; then
      compopt -o default 2>/dev/null  # its program has arguments of its own
      return
    fi
  done
  [[ $cur != '=' ]] || cur=''
  if [[ -z $expects && $cur == --*=* ]]; then
    expects=${cur%%=*} before=${cur%%=*}= cur=${cur#*=}
  fi
  if [[ -n $expects ]]; then
    read -r -a words <<<"$(_memsnap_value "$command" "$expects")"
    _memsnap_offer "${words[@]}"
  elif [[ $cur == -* ]]; then
    _memsnap_offer words "$(_memsnap_options "$command")"
  elif [[ -z $command ]]; then
    _memsnap_offer commands
  else
    for kind in $(_memsnap_arguments "$command"); do
      _memsnap_offer "$kind"
    done
  fi
  [[ -z $before ]] || COMPREPLY=("${COMPREPLY[@]/#/$before}")
  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then
    compopt -o nospace 2>/dev/null
  fi
}

complete -F _memsnap memsnap
)bash";

std::string_view kind_name(Offer offer) {
  switch (offer) {
    case Offer::kNothing:
      return "nothing";
    case Offer::kWords:
      return "words";
    case Offer::kList:
      return "list";
    case Offer::kFiles:
      return "files";
    case Offer::kSnapshots:
      return "snapshots";
    case Offer::kFolders:
      return "folders";
    case Offer::kProcesses:
      return "processes";
    case Offer::kUsers:
      return "users";
    case Offer::kCommands:
      return "commands";
  }
  return "nothing";
}

std::string names_pattern(const Command& command) {
  std::string names = command.name;
  for (const std::string& alias : command.aliases) names += '|' + alias;
  return names;
}

std::string option_names(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back("--" + option->long_name());
  return fmt::format("{}", fmt::join(names, " "));
}

// Cases of the options that take a value.
std::string value_cases(const po::options_description& options, std::string_view indent) {
  std::string out;
  for (const auto& option : options.options()) {
    if (!takes_value(*option)) continue;
    const std::string letter = short_form(*option);
    const Offered offered = offered_value(*option);
    const std::string said = fmt::format("{} {}", kind_name(offered.kind), fmt::join(offered.words, " "));
    out += fmt::format("{}{}--{}) echo {} ;;\n", indent, letter.empty() ? "" : letter + '|', option->long_name(),
                       in_quotes(offered.words.empty() ? kind_name(offered.kind) : said));
  }
  return out;
}

}  // namespace

std::string bash_completion(const std::vector<Command>& commands) {
  std::string names;
  std::string values;
  std::string options;
  std::string arguments;
  for (const Command& command : commands) {
    names += names.empty() ? command.name : ' ' + command.name;
    const std::string pattern = names_pattern(command);
    if (const std::string cases = value_cases(command.options, "        "); !cases.empty()) {
      values += fmt::format("    {})\n      case $2 in\n{}        *) false ;;\n      esac && return\n      ;;\n",
                            pattern, cases);
    }
    options += fmt::format("    {}) echo {} ;;\n", pattern, in_quotes(option_names(command.options)));
    std::vector<std::string_view> kinds;
    for (const Offer offer : offered_arguments(command)) kinds.push_back(kind_name(offer));
    if (!kinds.empty()) arguments += fmt::format("    {}) echo {} ;;\n", pattern, fmt::join(kinds, " "));
  }
  std::string out = "# Completion for bash, made by: memsnap help --completion bash\n\n";
  out += fmt::format("_memsnap_commands={}\n\n", in_quotes(names));
  out += fmt::format("_memsnap_options() {{  # COMMAND\n  echo {}\n  case $1 in\n{}  esac\n}}\n\n",
                     in_quotes(option_names(global_options())), options);
  out += fmt::format("_memsnap_arguments() {{  # COMMAND: the kinds of its arguments\n  case $1 in\n{}  esac\n}}\n\n",
                     arguments);
  out += fmt::format(
      "_memsnap_value() {{  # COMMAND OPTION: the kind of its value, and words\n  case $1 in\n{}  esac\n  case $2 "
      "in\n{}"
      "    *) echo flag ;;\n  esac\n}}\n",
      values, value_cases(global_options(), "    "));
  out += kFunctions;
  return out;
}

}  // namespace memsnap
