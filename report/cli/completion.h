#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "report/cli/command.h"

namespace memsnap {

// Completions for shells, made from the same description as --help.
std::string bash_completion(const std::vector<Command>& commands);
std::string zsh_completion(const std::vector<Command>& commands);
std::string fish_completion(const std::vector<Command>& commands);

// What a shell can offer where a value or an argument is asked for.
enum class Offer { kNothing, kWords, kList, kFiles, kSnapshots, kFolders, kProcesses, kUsers, kCommands };

struct Offered {
  Offer kind = Offer::kNothing;
  std::vector<std::string> words;  // of kWords; of kList they may be joined by commas. "prefix=" has more behind it
};

Offered offered_value(const boost::program_options::option_description& option);
// In the order they are worth: processes and snapshots for "FILE | PID".
std::vector<Offer> offered_arguments(const Command& command);
// The option may be given several times.
bool is_repeatable(const boost::program_options::option_description& option);

// 'text' for a POSIX shell.
std::string in_quotes(std::string_view text);

}  // namespace memsnap
