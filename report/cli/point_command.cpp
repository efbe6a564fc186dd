#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attach/process_id.h"
#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/point_record.h"
#include "report/cli/processes.h"
#include "report/cli/run_targets.h"
#include "report/points_report.h"
#include "snapshot/points/point_log.h"
#include "snapshot/session/measure_point.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

struct PointOptions {
  std::string id = "None";
  std::string note;
  std::optional<std::string> log;
  bool objects = false;
  bool print = false;
  bool first = true;
  FreezeOptions freeze;
};

PointOptions read_options(const Invocation& invocation, const std::optional<std::string>& id) {
  PointOptions options;
  options.id = id.value_or(options.id);
  options.note = option_value<std::string>(invocation.options, "note").value_or("");
  options.log = option_value<std::string>(invocation.options, "log");
  options.objects = option_flag(invocation.options, "objects");
  options.print = option_flag(invocation.options, "print");
  options.first = !option_flag(invocation.options, "no-first");
  options.freeze = freeze_options(invocation.options);
  check_point_texts(options.id, options.note);
  return options;
}

Report point_report(const MemoryPoint& point, const std::string& file) {
  const MeasuredMemory& memory = point.memory;
  const auto number = [](const std::optional<std::uint64_t>& value) { return value ? Fact{*value} : Fact{nullptr}; };
  Report report;
  report.schema = "memsnap.point/1";
  report.facts = {{"file", {file}},
                  {"sequence", {point.sequence}},
                  {"id", {point.id}},
                  {"repeat", {point.repeat}},
                  {"time", {exact_time_text(memory.time_ns)}},
                  {"pid", {std::int64_t{point.process.pid}}},
                  {"host", {point.process.host}},
                  {"name", {point.name}},
                  {"rss", {memory.rss}},
                  {"pss", {memory.pss}},
                  {"uss", {memory.uss}},
                  {"pyobj", number(memory.object_bytes)},
                  {"objects", number(memory.objects)},
                  {"pause_ms", memory.pause_ns ? Fact{static_cast<double>(*memory.pause_ns) / 1e6} : Fact{nullptr}},
                  {"note", {point.note}}};
  return report;
}

void show(const Invocation& invocation, const PointOptions& options, const MemoryPoint& point,
          const std::string& file) {
  const std::uint64_t bytes = point.memory.object_bytes.value_or(point.memory.rss);
  switch (invocation.output.format()) {
    case Format::kJson:
      return invocation.output.write(point_report(point, file));
    case Format::kJsonLines:
      return invocation.output.write_line(point_report(point, file));
    default:
      if (options.print) invocation.output.write_text(fmt::format("{}\n", bytes));
  }
}

ExitCode make_point(const Invocation& invocation, const PointOptions& options, const Candidate& target) {
  const ProcessId process = ProcessId::open(target.pid);
  std::vector<std::string> left_behind;
  PointToMake wanted;
  wanted.process = process_key(process);
  wanted.name = target.name;
  wanted.id = options.id;
  wanted.note = options.note;
  if (options.first) wanted.first_id = kFirstPointId;
  wanted.measure = [&] {
    PointMeasure measure =
        measure_point(process, {options.objects, options.freeze, invocation.cancelled}, invocation.log);
    left_behind = std::move(measure.left_behind);
    return measure.memory;
  };
  PointLogOptions how;
  how.cancelled = invocation.cancelled;
  const std::string path = options.log ? *options.log : default_point_log(invocation, wanted.process);
  PointLog log = PointLog::for_writing(path, how);
  const std::vector<MemoryPoint> made = log.append(wanted);
  for (const MemoryPoint& point : made) {
    invocation.log.info("point", fmt::format("point {} '{}' in {}", point.sequence, point.id, path));
  }
  show(invocation, options, made.back(), path);
  return verdict(left_behind, invocation.log);
}

// The arguments are TARGET and ID; with a selector there is only the ID.
ExitCode run_point(const Invocation& invocation) {
  std::vector<std::string> words = invocation.arguments;
  Selector selector = read_selector(invocation.options, {});
  if (is_empty(selector) && !words.empty()) {
    selector = read_selector(invocation.options, {words.front()});
    words.erase(words.begin());
  }
  if (is_empty(selector)) {
    throw Error(ExitCode::kUsage, "which process?", "memsnap point PID [ID]; memsnap ps lists the Python processes");
  }
  if (words.size() > 1) {
    throw Error(ExitCode::kUsage, fmt::format("one ID, not {}", words.size()), "an ID of several words is quoted");
  }
  if (selector.several == Several::kEach && invocation.output.format() == Format::kJson) {
    throw Error(ExitCode::kUsage, "--json is one document: --each needs --jsonl", "");
  }
  const PointOptions options = read_options(invocation, words.empty() ? std::nullopt : std::optional(words.front()));
  return for_each_target(invocation, find_targets(selector),
                         [&](const Candidate& target) { return make_point(invocation, options, target); });
}

}  // namespace

Command point_command() {
  Command command;
  command.name = "point";
  command.summary = "note how much memory a process has now, under a name";
  command.arguments = "PID|SELECTOR [ID]";
  command.description =
      "Adds a memory point to the log of the process: RSS, PSS and USS, for which it is not stopped (any program will "
      "do); with --objects also the size and number of all live Python objects, for which it is frozen once. An ID "
      "that "
      "the log has becomes ID-2, ID-3; without one it is None. The first point of a log is made by itself, as 'memsnap "
      "attach'. Nothing in a log is ever changed; many may add to it at once.";
  auto add = command.options.add_options();
  add("log", po::value<std::string>()->value_name("FILE"),
      "the log to add to; default one for each process in the directory of --dir");
  add("objects", po::bool_switch(), "count the Python objects too");
  add("print", po::bool_switch(), "print the bytes: of the objects with --objects, else RSS");
  add("note", po::value<std::string>()->value_name("TEXT"), "a remark that is kept with the point");
  add("no-first", po::bool_switch(), "do not make a first point 'memsnap attach'");
  add_selector_options(command.options, true);
  add_freeze_options(command.options);
  command.examples = {{"memsnap point 4242 'after warm-up'", "a point, read by memsnap log 4242"},
                      {"memsnap point 4242 --objects --print", "the size of all objects, noted and printed"},
                      {"memsnap point --name 'gunicorn: worker' --each nightly", "of all workers"}};
  command.exit_codes = capture_codes();
  command.exit_codes.push_back(ExitCode::kBadFile);
  command.touches_process = true;
  command.run = run_point;
  return command;
}

}  // namespace memsnap
