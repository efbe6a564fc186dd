#pragma once

#include <boost/program_options.hpp>
#include <functional>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "report/cli/output.h"
#include "report/cli/stderr_log.h"

namespace memsnap {

// What a command is given when it runs.
struct Invocation {
  const boost::program_options::variables_map& options;
  const std::vector<std::string>& arguments;  // what is not an option
  Output& output;
  StderrLog& log;
  std::function<bool()> cancelled;  // a signal asked for the end
};

struct Example {
  std::string command;  // "memsnap summary -n 10"
  std::string meaning;
};

// Everything about a command: its help, its manual page and its completions are made from this.
struct Command {
  std::string name;
  std::vector<std::string> aliases;
  std::string summary;      // one line
  std::string arguments;    // "[FILE]"
  std::string description;  // paragraphs under the usage; may be empty
  boost::program_options::options_description options;
  std::vector<Example> examples;  // one at least
  std::vector<ExitCode> exit_codes;
  bool tabular = false;          // --csv makes sense
  bool touches_process = false;  // then a signal sets a flag, and destructors restore the target
  // Starts a program: options end at its first word, or behind "--" or "-m"; the exit status is the program's, and 125
  // is a failure of memsnap.
  bool starts_program = false;
  std::function<ExitCode(const Invocation&)> run;
};

std::string exit_code_meaning(ExitCode code);

}  // namespace memsnap
