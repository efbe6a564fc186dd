#pragma once

#include <string>
#include <vector>

#include "report/cli/command.h"

namespace memsnap {

std::string overview_help(const std::vector<Command>& commands);
std::string command_help(const Command& command);
std::string markdown_help(const std::vector<Command>& commands);
std::string manual_page(const std::vector<Command>& commands, const std::string& version);

}  // namespace memsnap
