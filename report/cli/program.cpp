#include "report/cli/program.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <exception>
#include <optional>
#include <utility>

#include "attach/preflight.h"
#include "report/cli/command_line.h"
#include "report/cli/commands.h"
#include "report/cli/error_report.h"
#include "report/cli/help.h"
#include "report/cli/output.h"
#include "report/cli/shell_words.h"
#include "report/cli/signals.h"
#include "report/cli/stderr_log.h"
#include "report/cli/terminal.h"
#include "report/cli/version.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr int kSignalled = 128;

const Command* find_command(const std::vector<Command>& commands, const std::string& name) {
  for (const Command& command : commands) {
    if (command.name == name) return &command;
    if (std::find(command.aliases.begin(), command.aliases.end(), name) != command.aliases.end()) return &command;
  }
  return nullptr;
}

Error unknown_command(const std::vector<Command>& commands, const std::string& name) {
  std::vector<std::string> names;
  names.reserve(commands.size());
  for (const Command& command : commands) names.push_back(command.name);
  const std::string meant = nearest_word(name, names);
  return {ExitCode::kUsage, fmt::format("unknown command '{}'", name),
          meant.empty() ? "memsnap help lists the commands" : fmt::format("did you mean {}?", meant)};
}

OptionSources option_sources() {
  OptionSources sources;
  sources.variable = environment_variable;
  sources.trusted = is_environment_trusted();
  if (sources.trusted) {
    auto folder = environment_variable("XDG_CONFIG_HOME");
    const auto home = environment_variable("HOME");
    if ((!folder || folder->empty()) && home) folder = *home + "/.config";
    if (folder) sources.config_files.push_back(*folder + "/memsnap/config");
  }
  sources.config_files.emplace_back("/etc/memsnap.conf");
  return sources;
}

bool flag(const po::variables_map& values, const char* name) {
  return values.count(name) != 0 && values[name].as<bool>();
}

std::string word(const po::variables_map& values, const char* name, const char* otherwise) {
  return values.count(name) != 0 ? values[name].as<std::string>() : otherwise;
}

Format chosen_format(const po::variables_map& values) {
  const int chosen = int{flag(values, "json")} + int{flag(values, "jsonl")} + int{flag(values, "csv")};
  if (chosen > 1) throw Error(ExitCode::kUsage, "--json, --jsonl and --csv exclude each other", "");
  if (flag(values, "json")) return Format::kJson;
  if (flag(values, "jsonl")) return Format::kJsonLines;
  return flag(values, "csv") ? Format::kCsv : Format::kText;
}

std::string pager_command(const po::variables_map& values) {
  if (flag(values, "no-pager") || ::getauxval(AT_SECURE) != 0) return {};
  for (const char* name : {"MEMSNAP_PAGER", "PAGER"}) {
    if (!is_environment_trusted()) break;
    if (const auto pager = environment_variable(name)) return *pager == "cat" ? "" : *pager;
  }
  return "less -FRX";
}

OutputOptions output_options(const po::variables_map& values) {
  OutputOptions options;
  options.format = chosen_format(values);
  options.terminal = detect_terminal(STDOUT_FILENO, environment_variable);
  const std::string color = word(values, "color", "auto");
  const std::string units = word(values, "units", "iec");
  options.style.width = options.terminal.columns;
  options.style.color = use_color(color == "always"  ? ColorChoice::kAlways
                                  : color == "never" ? ColorChoice::kNever
                                                     : ColorChoice::kAuto,
                                  options.terminal, environment_variable);
  options.style.ascii = flag(values, "ascii") || !locale_is_utf8();
  options.style.units = units == "si" ? Units::kSi : units == "bytes" ? Units::kBytes : Units::kIec;
  options.pager = pager_command(values);
  options.pager_is_confined = !is_environment_trusted();
  return options;
}

LogOptions log_options(const ParsedOptions& parsed) {
  const Terminal terminal = detect_terminal(STDERR_FILENO, environment_variable);
  LogOptions options;
  options.quiet = flag(parsed.values, "quiet");
  options.verbosity = parsed.verbosity;
  options.json = word(parsed.values, "log-format", "text") == "json";
  options.terminal = terminal.is_terminal && !terminal.dumb;
  options.columns = terminal.columns;
  return options;
}

// Before the options are understood, only their letters can tell whether the caller wants JSON.
bool asks_for_json(const std::vector<std::string>& words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::any_of(words.begin(), end, [](const std::string& w) { return w == "--json" || w == "--jsonl"; });
}

// Every failure says what to do about it.
std::string advice(const Error& error, const std::vector<std::string>& words) {
  std::string hint = error.hint();
  if (error.code() == ExitCode::kNoPermission && ::geteuid() != 0 && sudo_may_help()) {
    if (!hint.empty()) hint += '\n';
    hint += fmt::format("try: sudo {}", shell_command(own_path(), words));
  }
  if (hint.empty())
    hint = error.code() == ExitCode::kUsage ? "memsnap help COMMAND explains the options" : "-v says more";
  return hint;
}

// What must be said even when a signal came as well.
bool is_grave(ExitCode code) {
  return code == ExitCode::kTargetHarmed || code == ExitCode::kLeftBehind || code == ExitCode::kInternal;
}

std::string tabular_commands(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) {
    if (command.tabular) names.push_back(command.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

class Program {
 public:
  explicit Program(const std::vector<std::string>& words) : words_(words), commands_(all_commands()) {}

  int run() {
    log_.emplace(STDERR_FILENO, LogOptions{});
    try {
      return run_command();
    } catch (const OutputClosed&) {
      return kSignalled + SIGPIPE;
    } catch (const Error& error) {
      return fail(error);
    } catch (const std::exception& error) {
      return fail(error_from(error));
    }
  }

 private:
  int run_command() {
    SplitLine line = split_command_line(words_);
    const Command* command = line.command ? find_command(commands_, *line.command) : nullptr;
    if (line.command && command == nullptr) throw unknown_command(commands_, *line.command);
    starts_program_ = command != nullptr && command->starts_program;
    std::vector<std::string> program;
    if (starts_program_) program = take_program(line, *command);
    // --help works beside options that are wrong, and beside a configuration that is.
    if (command != nullptr && wants_help(line.after)) return show(command_help(*command));
    ParsedOptions parsed = parse_options(line, command, commands_, option_sources());
    if (starts_program_) parsed.arguments = std::move(program);
    log_.emplace(STDERR_FILENO, log_options(parsed));
    if (parsed.values.count("version") != 0) return show(version_text());
    if (parsed.values.count("help") != 0) {
      return show(command == nullptr ? overview_help(commands_) : command_help(*command));
    }
    if (command == nullptr) throw Error(ExitCode::kUsage, "no command", "memsnap help lists the commands");
    Output output(STDOUT_FILENO, output_options(parsed.values));
    if (output.format() == Format::kCsv && !command->tabular) {
      throw Error(ExitCode::kUsage,
                  fmt::format("{} has no table: --csv is for {}", command->name, tabular_commands(commands_)),
                  "--json gives everything");
    }
    std::optional<SignalGuard> guard;
    if (command->touches_process) guard.emplace();
    const Invocation invocation{parsed.values, parsed.arguments, output, *log_,
                                [] { return SignalGuard::received() != 0; }};
    return static_cast<int>(command->run(invocation));
  }

  static bool wants_help(const std::vector<std::string>& words) {
    const auto end = std::find(words.begin(), words.end(), "--");
    return std::any_of(words.begin(), end, [](const std::string& w) { return w == "--help" || w == "-h"; });
  }

  static int show(const std::string& text) {
    Output(STDOUT_FILENO, {}).write_text(text);
    return static_cast<int>(ExitCode::kDone);
  }

  int fail(const Error& plain) {
    const int number = SignalGuard::received();
    const Error error = number != 0 && !is_grave(plain.code())
                            ? Error(plain.code(), fmt::format("ended by signal {} before there was a result", number),
                                    "the process runs on as it was")
                            : Error(plain.code(), plain.what(), advice(plain, words_));
    log_->error(event_of(error.code()), error);
    if (starts_program_) return status_instead_of_program(error);
    try {
      if (asks_for_json(words_)) Output(STDOUT_FILENO, {}).write_text(error_json(error, 0));
    } catch (const std::exception&) {
      return static_cast<int>(error.code());  // the message on stderr has said it
    } catch (const OutputClosed&) {
      return static_cast<int>(error.code());
    }
    return number != 0 && !is_grave(error.code()) ? kSignalled + number : static_cast<int>(error.code());
  }

  static int status_instead_of_program(const Error& error) {
    const bool of_program = error.code() == ExitCode::kNotExecutable || error.code() == ExitCode::kNoSuchProgram;
    return static_cast<int>(of_program ? error.code() : ExitCode::kNotStarted);
  }

  const std::vector<std::string>& words_;
  std::vector<Command> commands_;
  bool starts_program_ = false;
  std::optional<StderrLog> log_;
};

}  // namespace

int run_program(const std::vector<std::string>& words) {
  std::setlocale(LC_CTYPE, "");
  ignore_failed_writes();
  return Program(words).run();
}

}  // namespace memsnap
