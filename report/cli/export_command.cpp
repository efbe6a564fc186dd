#include <vector>

#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/metrics.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

ExitCode run_export(const Invocation& invocation) {
  const auto format = option_value<std::string>(invocation.options, "format");
  if (!format) throw Error(ExitCode::kUsage, "which format?", "--format openmetrics or --format prometheus");
  std::vector<std::string> files = invocation.arguments;
  if (files.empty()) files.push_back(input_file(invocation, files));
  std::vector<ProcessFigures> processes;
  for (const std::string& file : files)
    processes.push_back(process_figures(load_checked(input_file(invocation, {file}), kPartTypes)));
  const std::string text =
      metrics_text(std::move(processes), std::nullopt,
                   *format == "openmetrics" ? MetricsFormat::kOpenMetrics : MetricsFormat::kPrometheus,
                   option_flag(invocation.options, "label-pid"));
  if (const auto path = option_value<std::string>(invocation.options, "output")) {
    Output::write_text_file(text, *path, option_flag(invocation.options, "force"));
  } else {
    invocation.output.write_text(text);
  }
  return ExitCode::kDone;
}

}  // namespace

Command export_command() {
  Command command;
  command.name = "export";
  command.summary = "snapshots in a format of other programs";
  command.arguments = "[FILE...]";
  command.description =
      "openmetrics: for Prometheus, what snapshot --metrics writes from cron; of several files, those of one moment.";
  auto add = command.options.add_options();
  add("format", one_of("format", {"openmetrics", "prometheus"}), "OpenMetrics 1.0, or Prometheus's older text");
  add("label-pid", po::bool_switch(), "tell processes by their pid, not by a number that survives a restart");
  add_report_output_options(command.options);
  command.examples = {{"memsnap export shop.msnap --format openmetrics", "RSS, objects, the largest types"}};
  command.exit_codes = {ExitCode::kCannotWrite, ExitCode::kBadFile};
  command.run = run_export;
  return command;
}

}  // namespace memsnap
