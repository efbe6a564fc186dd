#include "report/cli/metrics_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <utility>

#include "report/cli/option_values.h"
#include "snapshot/store/output_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr mode_t kForAll = 0644;  // the collector is another user

}  // namespace

void add_metrics_options(po::options_description& options) {
  auto add = options.add_options();
  add("metrics", po::value<std::string>()->value_name("FILE.prom"),
      "write metrics for node_exporter's textfile collector; nothing in it is secret but names of types");
  add("label-pid", po::bool_switch(),
      "tell processes in metrics by their pid, not by a number that survives a restart");
}

MetricsFile::MetricsFile(const po::variables_map& values)
    : path_(option_value<std::string>(values, "metrics")), by_pid_(option_flag(values, "label-pid")) {
  if (path_ && !path_->ends_with(".prom"))
    throw Error(ExitCode::kUsage, fmt::format("--metrics is '{}': the name must end in .prom", *path_), "");
}

ExitCode MetricsFile::of_round(const std::function<ExitCode()>& work) {
  processes_.clear();
  expected_.clear();
  run_ = {};
  done_ = 0;
  if (!path_) return work();
  try {
    const ExitCode code = work();
    write(code);
    return code;
  } catch (const Error& error) {
    write(error.code());
    throw;
  }
}

void MetricsFile::expect(const std::vector<Candidate>& targets) {
  run_.targets = targets.size();
  for (const Candidate& target : targets)
    expected_.push_back(unknown_figures(target.pid, target.start_time, target.name, target.container));
}

void MetricsFile::add(const Snapshot& snapshot) {
  if (path_) processes_.push_back(process_figures(snapshot));
}

void MetricsFile::write(ExitCode code) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  run_.ended_at_seconds = std::chrono::duration<double>(now).count();
  run_.exit_code = static_cast<int>(code);
  run_.failed = code == ExitCode::kDone ? 0 : run_.targets - std::min(run_.targets, done_);
  for (ProcessFigures& expected : expected_) {
    const bool is_there = std::any_of(processes_.begin(), processes_.end(), [&](const ProcessFigures& figures) {
      return figures.pid == expected.pid && figures.start_time == expected.start_time;
    });
    if (!is_there) processes_.push_back(std::move(expected));
  }
  const std::string text = metrics_text(std::move(processes_), run_, MetricsFormat::kPrometheus, by_pid_);
  processes_.clear();
  OutputFile file(*path_, true, kForAll);
  file.append(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));  // NOLINT: bytes
  file.commit();
}

}  // namespace memsnap
