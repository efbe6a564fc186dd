#include "report/cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "report/cli/command_line.h"
#include "report/cli/option_forms.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kWidth = 100;
constexpr std::size_t kOptionColumn = 32;

// Words of `text` in lines up to kWidth, behind `indent` columns; the first line begins in column `used`.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t used) {
  std::string out;
  std::size_t column = used;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (column > indent && column + 1 + word.size() > kWidth) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out + '\n';
}

// A line that ends within a sentence goes on in the next.
std::vector<std::string> paragraphs(std::string_view text) {
  std::vector<std::string> found;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!found.empty() && !found.back().ends_with('.')) {
      found.back() += ' ';
      found.back() += line;
    } else {
      found.emplace_back(line);
    }
  }
  return found;
}

std::string option_lines(const po::options_description& options) {
  std::string out;
  for (const auto& option : options.options()) {
    std::string form = "  " + whole_form(*option);
    if (form.size() + 2 > kOptionColumn) {
      out += form + '\n' + std::string(kOptionColumn, ' ');
    } else {
      out += form + std::string(kOptionColumn - form.size(), ' ');
    }
    out += wrapped(option->description(), kOptionColumn, kOptionColumn);
  }
  return out;
}

}  // namespace

std::string exit_code_meaning(ExitCode code) {
  switch (code) {
    case ExitCode::kDone:
      return "done";
    case ExitCode::kThreshold:
      return "done, and a threshold was crossed or the answer is no";
    case ExitCode::kUsage:
      return "wrong usage, or a selector that matches several processes";
    case ExitCode::kNoSuchProcess:
      return "no such process, or it ended before anything was done to it";
    case ExitCode::kNoPermission:
      return "not permitted; the message says why";
    case ExitCode::kUnsupported:
      return "not supported: not CPython, a free-threaded build, its version or architecture";
    case ExitCode::kBusy:
      return "busy: another tracer or another memsnap holds the process";
    case ExitCode::kGaveUp:
      return "gave up within the limits given; the process was not touched";
    case ExitCode::kSomeFailed:
      return "several processes, and some failed";
    case ExitCode::kCannotWrite:
      return "the output cannot be written";
    case ExitCode::kBadFile:
      return "the input file is unreadable, damaged, or from a newer version";
    case ExitCode::kTargetHarmed:
      return "the process died by a signal or stood changed while it was held";
    case ExitCode::kLeftBehind:
      return "let go, but something was left behind (listed)";
    case ExitCode::kInternal:
      return "an internal error: a bug of memsnap";
    case ExitCode::kNotStarted:
      return "memsnap failed, and the program was not started";
    case ExitCode::kNotExecutable:
      return "the program was found, but cannot be executed";
    case ExitCode::kNoSuchProgram:
      return "the program was not found";
  }
  return "unknown";
}

std::string overview_help(const std::vector<Command>& commands) {
  std::string out =
      "memsnap looks at the memory of a running CPython (3.8 to 3.15) from outside: nothing is installed in it,\n"
      "and it runs on within milliseconds.\n\n"
      "Usage: memsnap [GLOBAL OPTIONS] COMMAND [OPTIONS] [TARGET | FILE]\n\nCommands:\n";
  for (const Command& command : commands) {
    out += fmt::format("  {:<12}{}", command.name, wrapped(command.summary, 14, 14));
  }
  out += "\nGlobal options:\n" + option_lines(global_options());
  out +=
      "\nExamples:\n"
      "  sudo memsnap attach 4242      where the memory of process 4242 is, now\n"
      "  memsnap ps                    the Python processes, and which of them can be looked at\n"
      "  memsnap help snapshot         everything about one command\n";
  return out;
}

std::string command_help(const Command& command) {
  std::string out = fmt::format("memsnap {}: {}\n\nUsage: {}\n", command.name, command.summary, usage_of(command));
  for (const std::string& alias : command.aliases) out += fmt::format("       also called {}\n", alias);
  if (!command.description.empty()) {
    out += '\n';
    for (const std::string& paragraph : paragraphs(command.description)) out += wrapped(paragraph, 0, 0);
  }
  if (!command.options.options().empty()) out += "\nOptions:\n" + option_lines(command.options);
  out += "\nGlobal options:\n" + option_lines(global_options());
  out += "\nExamples:\n";
  for (const Example& example : command.examples) {
    out += fmt::format("  {}\n      {}", example.command, wrapped(example.meaning, 6, 6));
  }
  out += "\nExit codes:\n";
  for (const ExitCode code : exit_codes_of(command)) {
    out += fmt::format("  {:<5}{}\n", static_cast<int>(code), exit_code_meaning(code));
  }
  if (command.touches_process) out += "  128+N ended by signal N without a result, after the process was let go\n";
  return out;
}

std::string markdown_help(const std::vector<Command>& commands) {
  std::string out = "# memsnap: reference\n\nMade by `memsnap help --markdown`.\n";
  const auto options_table = [](const po::options_description& options) {
    std::string table = "\n| option | meaning |\n| --- | --- |\n";
    for (const auto& option : options.options()) {
      std::string form = whole_form(*option);
      for (std::size_t at = 0; (at = form.find('|', at)) != std::string::npos; at += 2) form.insert(at, 1, '\\');
      table += fmt::format("| `{}` | {} |\n", form, option->description());
    }
    return table;
  };
  out += "\n## Global options\n" + options_table(global_options());
  for (const Command& command : commands) {
    out += fmt::format("\n## {}\n\n`{}`\n\n{}.\n", command.name, usage_of(command), command.summary);
    if (!command.description.empty()) out += '\n' + command.description + '\n';
    if (!command.options.options().empty()) out += options_table(command.options);
    out += "\n```\n";
    for (const Example& example : command.examples)
      out += fmt::format("$ {}    # {}\n", example.command, example.meaning);
    out += "```\n\nExit codes:";
    for (const ExitCode code : exit_codes_of(command)) {
      out += fmt::format(" {} {};", static_cast<int>(code), exit_code_meaning(code));
    }
    out.back() = '.';
    out += '\n';
  }
  return out;
}

}  // namespace memsnap
