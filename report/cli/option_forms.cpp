#include "report/cli/option_forms.h"

#include <algorithm>

namespace memsnap {

namespace po = boost::program_options;

std::string short_form(const po::option_description& option) {
  const std::string both = option.format_name();  // "-n [ --rows ]" or "--rows"
  return both.size() > 2 && both[0] == '-' && both[1] != '-' ? both.substr(0, 2) : "";
}

std::string value_form(const po::option_description& option) {
  return takes_value(option) ? option.format_parameter() : "";
}

std::string whole_form(const po::option_description& option) {
  std::string form = short_form(option);
  if (!form.empty()) form += ", ";
  form += "--" + option.long_name();
  const std::string value = value_form(option);
  return value.empty() ? form : form + ' ' + value;
}

std::string usage_of(const Command& command) {
  std::string line = "memsnap " + command.name;
  if (!command.options.options().empty()) line += " [OPTIONS]";
  return command.arguments.empty() ? line : line + ' ' + command.arguments;
}

std::vector<ExitCode> exit_codes_of(const Command& command) {
  std::vector<ExitCode> codes{ExitCode::kDone};
  if (!command.starts_program) codes.push_back(ExitCode::kUsage);
  codes.insert(codes.end(), command.exit_codes.begin(), command.exit_codes.end());
  if (!command.starts_program) codes.push_back(ExitCode::kInternal);
  std::sort(codes.begin(), codes.end());
  codes.erase(std::unique(codes.begin(), codes.end()), codes.end());
  return codes;
}

}  // namespace memsnap
