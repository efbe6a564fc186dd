#include "report/cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "report/cli/command_line.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kWidth = 100;
constexpr std::size_t kOptionColumn = 32;

// "-n, --rows N"
std::string option_form(const po::option_description& option) {
  const std::string both = option.format_name();  // "-n [ --rows ]" or "--rows"
  std::string form;
  if (both.size() > 2 && both[0] == '-' && both[1] != '-') form = fmt::format("{}, ", both.substr(0, 2));
  form += "--" + option.long_name();
  const std::string parameter = option.semantic()->max_tokens() == 0 ? "" : option.format_parameter();
  return parameter.empty() ? form : form + ' ' + parameter;
}

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

std::string option_lines(const po::options_description& options) {
  std::string out;
  for (const auto& option : options.options()) {
    std::string form = "  " + option_form(*option);
    if (form.size() + 2 > kOptionColumn) {
      out += form + '\n' + std::string(kOptionColumn, ' ');
    } else {
      out += form + std::string(kOptionColumn - form.size(), ' ');
    }
    out += wrapped(option->description(), kOptionColumn, kOptionColumn);
  }
  return out;
}

std::string usage(const Command& command) {
  std::string line = "memsnap " + command.name;
  if (!command.options.options().empty()) line += " [OPTIONS]";
  return command.arguments.empty() ? line : line + ' ' + command.arguments;
}

std::vector<ExitCode> codes_of(const Command& command) {
  std::vector<ExitCode> codes{ExitCode::kDone};
  if (!command.starts_program) codes.push_back(ExitCode::kUsage);
  codes.insert(codes.end(), command.exit_codes.begin(), command.exit_codes.end());
  if (!command.starts_program) codes.push_back(ExitCode::kInternal);
  std::sort(codes.begin(), codes.end());
  codes.erase(std::unique(codes.begin(), codes.end()), codes.end());
  return codes;
}

// troff reads a leading dot or quote, and every backslash and minus.
std::string troff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (out.empty() && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
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
  std::string out = fmt::format("memsnap {}: {}\n\nUsage: {}\n", command.name, command.summary, usage(command));
  for (const std::string& alias : command.aliases) out += fmt::format("       also called {}\n", alias);
  if (!command.description.empty()) {
    out += '\n';
    std::string_view rest = command.description;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      out += wrapped(rest.substr(0, end), 0, 0);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  if (!command.options.options().empty()) out += "\nOptions:\n" + option_lines(command.options);
  out += "\nGlobal options:\n" + option_lines(global_options());
  out += "\nExamples:\n";
  for (const Example& example : command.examples) {
    out += fmt::format("  {}\n      {}", example.command, wrapped(example.meaning, 6, 6));
  }
  out += "\nExit codes:\n";
  for (const ExitCode code : codes_of(command)) {
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
      std::string form = option_form(*option);
      for (std::size_t at = 0; (at = form.find('|', at)) != std::string::npos; at += 2) form.insert(at, 1, '\\');
      table += fmt::format("| `{}` | {} |\n", form, option->description());
    }
    return table;
  };
  out += "\n## Global options\n" + options_table(global_options());
  for (const Command& command : commands) {
    out += fmt::format("\n## {}\n\n`{}`\n\n{}.\n", command.name, usage(command), command.summary);
    if (!command.description.empty()) out += '\n' + command.description + '\n';
    if (!command.options.options().empty()) out += options_table(command.options);
    out += "\n```\n";
    for (const Example& example : command.examples)
      out += fmt::format("$ {}    # {}\n", example.command, example.meaning);
    out += "```\n\nExit codes:";
    for (const ExitCode code : codes_of(command)) {
      out += fmt::format(" {} {};", static_cast<int>(code), exit_code_meaning(code));
    }
    out.back() = '.';
    out += '\n';
  }
  return out;
}

std::string manual_page(const std::vector<Command>& commands, const std::string& version) {
  std::string out = fmt::format(
      ".TH MEMSNAP 1 \"\" \"memsnap {}\"\n.SH NAME\nmemsnap \\- heap snapshots of running CPython processes\n"
      ".SH SYNOPSIS\n.B memsnap\n[\\fIGLOBAL OPTIONS\\fR] \\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fITARGET\\fR | "
      "\\fIFILE\\fR]\n",
      version);
  const auto options_list = [](const po::options_description& options) {
    std::string list;
    for (const auto& option : options.options()) {
      list += fmt::format(".TP\n.B {}\n{}\n", troff(option_form(*option)), troff(option->description()));
    }
    return list;
  };
  out += ".SH GLOBAL OPTIONS\n" + options_list(global_options()) + ".SH COMMANDS\n";
  for (const Command& command : commands) {
    out += fmt::format(".SS {}\n{}.\n.PP\n.B {}\n", troff(command.name), troff(command.summary), troff(usage(command)));
    if (!command.description.empty()) {
      out += ".PP\n";
      std::string_view rest = command.description;
      while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        out += troff(rest.substr(0, end)) + '\n';
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    }
    out += options_list(command.options);
    out += ".PP\nExamples:\n";
    for (const Example& example : command.examples) {
      out += fmt::format(".TP\n.B {}\n{}\n", troff(example.command), troff(example.meaning));
    }
  }
  out += ".SH EXIT STATUS\n";
  for (const ExitCode code :
       {ExitCode::kDone, ExitCode::kThreshold, ExitCode::kUsage, ExitCode::kNoSuchProcess, ExitCode::kNoPermission,
        ExitCode::kUnsupported, ExitCode::kBusy, ExitCode::kGaveUp, ExitCode::kSomeFailed, ExitCode::kCannotWrite,
        ExitCode::kBadFile, ExitCode::kTargetHarmed, ExitCode::kLeftBehind, ExitCode::kInternal}) {
    out += fmt::format(".TP\n.B {}\n{}\n", static_cast<int>(code), troff(exit_code_meaning(code)));
  }
  return out;
}

}  // namespace memsnap
