#pragma once

#include <string>
#include <vector>

#include "report/cli/command.h"

namespace memsnap {

// Every command, in the order of the help.
std::vector<Command> all_commands();

// The whole program: reads the options, runs the command, prints what went wrong. Returns the exit status.
int run_program(const std::vector<std::string>& words);

}  // namespace memsnap
