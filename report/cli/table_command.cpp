#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "report/cli/allocation_choice.h"
#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/profile_table_report.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

TableColumn column_named(const std::string& option, const std::string& word) {
  const std::vector<std::string>& names = table_column_names();
  const auto found = std::find(names.begin(), names.end(), word);
  if (found != names.end()) return static_cast<TableColumn>(found - names.begin());
  throw Error(ExitCode::kUsage, fmt::format("{}: there is no column '{}'", option, word),
              fmt::format("columns: {}", fmt::join(names, ", ")));
}

std::vector<TableColumn> columns_of(const std::string& words) {
  std::vector<TableColumn> columns;
  for (std::size_t at = 0; at <= words.size();) {
    const std::size_t comma = std::min(words.find(',', at), words.size());
    const TableColumn column = column_named("--columns", words.substr(at, comma - at));
    if (std::find(columns.begin(), columns.end(), column) != columns.end()) {
      throw Error(ExitCode::kUsage, fmt::format("--columns: '{}' is there twice", words.substr(at, comma - at)), "");
    }
    columns.push_back(column);
    at = comma + 1;
  }
  return columns;
}

ExitCode run_table(const Invocation& invocation) {
  const po::variables_map& values = invocation.options;
  ProfileTableOptions options;
  options.measure = chosen_measure(invocation);
  if (const auto words = option_value<std::string>(values, "columns")) options.columns = columns_of(*words);
  if (const auto word = option_value<std::string>(values, "sort")) options.sort = column_named("--sort", *word);
  if (const auto word = option_value<std::string>(values, "group-by")) {
    options.group_by = column_named("--group-by", *word);
  }
  options.rows = option_value<WholeNumber>(values, "rows").value_or(WholeNumber{25}).value;
  const std::string file = input_file(invocation);
  const Snapshot snapshot = load_chosen(file, [&](const FileContents& contents) {
    require_allocations(contents, file);
    return kPartProfile;
  });
  write_report(invocation, make_profile_table(snapshot, options));
  return ExitCode::kDone;
}

}  // namespace

Command table_command() {
  Command command;
  command.name = "table";
  command.summary = "allocations by line, thread and allocator, for spreadsheets";
  command.arguments = "[FILE]";
  command.description =
      "Of a capture (memsnap attach --for, memsnap run). Without FILE: the newest file of the default directory.\n"
      "Columns: size, count, mean, live, peak, temporary, allocator, thread, location.";
  auto add = command.options.add_options();
  add("columns", po::value<std::string>()->value_name("C,..."),
      "which, and in which order; default size,count,mean,allocator,thread,location");
  add("sort", po::value<std::string>()->value_name("C"), "by a column, the largest first; default size");
  add("group-by", one_of("group-by", {"allocator", "thread", "location"}), "one row for each");
  add("rows,n", po::value<WholeNumber>()->value_name("ROWS"), "at most so many rows; 0: all; default 25");
  add_allocation_options(command.options);
  add_report_output_options(command.options);
  command.examples = {{"memsnap table -n 0 --csv shop.msnap > allocations.csv", "everything for a spreadsheet"},
                      {"memsnap table --group-by thread --columns thread,size,count", "by thread"}};
  command.exit_codes = {ExitCode::kCannotWrite, ExitCode::kBadFile};
  command.tabular = true;
  command.run = run_table;
  return command;
}

}  // namespace memsnap
