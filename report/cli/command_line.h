#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/cli/command.h"
#include "report/cli/output.h"
#include "report/cli/terminal.h"

namespace memsnap {

// Options that every command takes, before and after its name.
boost::program_options::options_description global_options();

// argv by hand: what comes before the first word that is no option, that word, and the rest.
struct SplitLine {
  std::vector<std::string> before;
  std::optional<std::string> command;
  std::vector<std::string> after;
};
SplitLine split_command_line(const std::vector<std::string>& words);

// Of a command that starts a program: takes what belongs to that off the end of the line: "SCRIPT ARG...",
// "-m MODULE ARG..." or "-- COMMAND ARG...".
std::vector<std::string> take_program(SplitLine& line, const Command& command);

struct ParsedOptions {
  boost::program_options::variables_map values;
  std::vector<std::string> arguments;
  int verbosity = 0;
};

// Where values come from that are not on the command line, the strongest first.
struct OptionSources {
  GetVariable variable;                   // MEMSNAP_<OPTION>
  std::vector<std::string> config_files;  // used when --config names none; a missing one is no error
  bool trusted = true;                    // false (root, AT_SECURE): the environment does not count
};

// Options of `command` (nullptr: global ones only). Throws Error kUsage that names the option, the variable or the
// file.
ParsedOptions parse_options(const SplitLine& line, const Command* command, const std::vector<Command>& commands,
                            const OptionSources& sources);

// The word out of `known` that was probably meant; empty: none is near.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

}  // namespace memsnap
