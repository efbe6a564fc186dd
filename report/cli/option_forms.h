#pragma once

#include <boost/program_options.hpp>
#include <string>

#include "report/cli/command.h"

namespace memsnap {

inline bool takes_value(const boost::program_options::option_description& option) {
  return option.semantic()->max_tokens() != 0;
}

std::string short_form(const boost::program_options::option_description& option);  // "-n"; empty: it has none
std::string value_form(const boost::program_options::option_description& option);  // "ROWS"; empty: a flag
std::string whole_form(const boost::program_options::option_description& option);  // "-n, --rows ROWS"
std::string usage_of(const Command& command);
std::vector<ExitCode> exit_codes_of(const Command& command);

}  // namespace memsnap
