#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "report/cli/command_line.h"
#include "report/cli/help.h"
#include "report/cli/option_forms.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kWidth = 78;

// troff reads every backslash and minus.
std::string troff(std::string_view text) {
  std::string out;
  for (const char c : text) {
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

// Text that troff fills: words in lines that begin with neither a dot nor a quote, which would be a request.
std::string filled(std::string_view text) {
  std::string out;
  std::string line;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    std::string word = troff(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (!line.empty() && line.size() + 1 + word.size() > kWidth) {
      out += line + '\n';
      line.clear();
    }
    if (line.empty()) {
      line = word[0] == '.' || word[0] == '\'' ? "\\&" + word : word;
    } else {
      line += ' ' + word;
    }
  }
  return out + line + '\n';
}

std::string entry(std::string_view term, std::string_view text) {
  return fmt::format(".TP\n.B {}\n{}", troff(term), filled(text));
}

std::string option_entries(const po::options_description& options) {
  std::string out;
  for (const auto& option : options.options()) out += entry(whole_form(*option), option->description());
  return out;
}

std::string command_section(const Command& command) {
  std::string out = fmt::format(".SS {}\n{}.PP\n.B {}\n", troff(command.name), filled(command.summary + '.'),
                                troff(usage_of(command)));
  for (const std::string& alias : command.aliases) out += fmt::format(".PP\nAlso called\n.BR {} .\n", troff(alias));
  if (!command.description.empty()) out += ".PP\n" + filled(command.description);
  out += option_entries(command.options) + ".PP\nExamples:\n";
  for (const Example& example : command.examples) out += entry(example.command, example.meaning);
  std::string codes;
  for (const ExitCode code : exit_codes_of(command)) {
    codes += fmt::format("{}{}", codes.empty() ? "" : ", ", static_cast<int>(code));
  }
  if (command.touches_process) codes += ", 128+N";
  return out + ".PP\nExit status: " + codes + ".\n";
}

std::string exit_codes() {
  std::string out;
  for (const ExitCode code :
       {ExitCode::kDone, ExitCode::kThreshold, ExitCode::kUsage, ExitCode::kNoSuchProcess, ExitCode::kNoPermission,
        ExitCode::kUnsupported, ExitCode::kBusy, ExitCode::kGaveUp, ExitCode::kSomeFailed, ExitCode::kCannotWrite,
        ExitCode::kBadFile, ExitCode::kTargetHarmed, ExitCode::kLeftBehind, ExitCode::kInternal, ExitCode::kNotStarted,
        ExitCode::kNotExecutable, ExitCode::kNoSuchProgram}) {
    out += entry(fmt::to_string(static_cast<int>(code)), exit_code_meaning(code));
  }
  return out + entry("128+N", "ended by signal N without a result, after the process was let go");
}

std::string environment_and_files() {
  std::string out =
      ".SH ENVIRONMENT\n" +
      filled(
          "As root, and when the program is set-uid, options and the pager are taken neither from the environment nor "
          "from a file in the home directory; /etc/memsnap.conf and the command line count. What describes the "
          "terminal "
          "(TERM, COLUMNS, the locale, NO_COLOR, CLICOLOR_FORCE) always counts; MEMSNAP_DIR and HOME, which say where "
          "files are, not when it is set-uid.");
  out += entry("MEMSNAP_OPTION",
               "the value of --option where the command line has none, as MEMSNAP_UNITS=si, or MEMSNAP_DIR");
  out += entry("MEMSNAP_PAGER, PAGER", "what shows a long text on a terminal");
  out += entry("HOME, XDG_CONFIG_HOME", "where the configuration and the default directory are");
  out += entry("NO_COLOR, CLICOLOR_FORCE", "never, or always, use colours");
  out += ".SH FILES\n";
  out += entry("~/.config/memsnap/config, /etc/memsnap.conf",
               "values of options, as lines NAME = VALUE; those below [COMMAND] are for one command");
  out += entry("~/.local/state/memsnap", "the default directory");
  out += ".SH EXAMPLES\n";
  out += entry("memsnap ps", "the Python processes, and which of them can be looked at");
  out += entry("sudo memsnap attach 4242", "where the memory of process 4242 is, and 10 s of allocations");
  out += entry("sudo memsnap snapshot 4242 -o before.msnap", "everything that is on its heap, in a file");
  out += entry("memsnap summary before.msnap -n 10", "the ten types that keep most alive");
  out += entry("memsnap diff before.msnap after.msnap", "what came and what went");
  return out;
}

}  // namespace

std::string manual_page(const std::vector<Command>& commands, const std::string& version) {
  std::string out = fmt::format(".TH MEMSNAP 1 \"{}\" \"memsnap {}\"\n", MEMSNAP_DATE, version) +
                    ".SH NAME\nmemsnap \\- heap snapshots of running CPython processes\n"
                    ".SH SYNOPSIS\n.B memsnap\n[\\fIGLOBAL OPTIONS\\fR] \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n"
                    "[\\fITARGET\\fR | \\fIFILE\\fR]\n.SH DESCRIPTION\n";
  out += filled(
      "memsnap looks at the memory of a running CPython (3.8 to 3.15) from outside: nothing is installed in the "
      "process, and it "
      "runs on within milliseconds. It prints every type with its number, bytes and what it keeps alive, and a tree of "
      "what "
      "holds what; then it tracks allocations for some seconds, and leaves without a trace.");
  out += ".SH GLOBAL OPTIONS\n" + option_entries(global_options()) + ".SH COMMANDS\n";
  for (const Command& command : commands) out += command_section(command);
  return out + ".SH EXIT STATUS\n" + exit_codes() + environment_and_files();
}

}  // namespace memsnap
