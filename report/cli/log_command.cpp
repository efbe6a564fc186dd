#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "attach/base/printable.h"
#include "report/cli/commands.h"
#include "report/cli/log_choice.h"
#include "report/cli/option_values.h"
#include "report/cli/point_logs.h"
#include "report/cli/processes.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/points_plot.h"
#include "report/points_report.h"
#include "snapshot/points/point_log.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::chrono::milliseconds kPoll{200};
constexpr std::size_t kPlotRows = 16;

enum class Show { kPoints, kIds, kMemories, kMapped, kPlot, kById, kByFunction };

// What the command line asks for, checked before any file is read.
struct LogRequest {
  std::string file;
  std::optional<pid_t> pid;  // only the points of this process
  PointMetric metric = PointMetric::kRss;
  std::optional<Slice> slice;
  std::optional<Expression> filter;
  std::vector<Expression> maps;
  Show show = Show::kPoints;
  bool follow = false;
  bool metric_chosen = false;
};

PointMetric metric_of(const std::string& word) {
  if (word == "pss") return PointMetric::kPss;
  if (word == "uss") return PointMetric::kUss;
  return word == "pyobj" ? PointMetric::kObjects : PointMetric::kRss;
}

Show show_of(const po::variables_map& options, bool maps) {
  std::vector<Show> chosen;
  if (option_flag(options, "ids")) chosen.push_back(Show::kIds);
  if (option_flag(options, "memories")) chosen.push_back(Show::kMemories);
  if (option_flag(options, "plot")) chosen.push_back(Show::kPlot);
  if (maps) chosen.push_back(Show::kMapped);
  if (const auto by = option_value<std::string>(options, "group-by")) {
    chosen.push_back(*by == "id" ? Show::kById : Show::kByFunction);
  }
  if (chosen.size() > 1) {
    throw Error(ExitCode::kUsage, "--ids, --memories, --map, --plot and --group-by exclude each other", "");
  }
  return chosen.empty() ? Show::kPoints : chosen.front();
}

// TARGET, FILE or nothing; --log with a process means its points in that file.
void choose_file(LogRequest& request, const Invocation& invocation) {
  const auto log = option_value<std::string>(invocation.options, "log");
  const auto& words = invocation.arguments;
  if (words.size() > 1) throw Error(ExitCode::kUsage, fmt::format("one process or FILE, not {}", words.size()), "");
  const bool is_file = words.size() == 1 && !parse_process_number(words.front());
  const Selector selector = read_selector(invocation.options, is_file ? std::vector<std::string>() : words);
  if (is_file && !is_empty(selector)) {
    throw Error(ExitCode::kUsage, "a FILE and a process: give one of them",
                "memsnap log FILE, memsnap log PID --log FILE");
  }
  if (!is_empty(selector)) {
    request.pid = selector.is_pid_only() ? selector.pid : find_targets(selector).front().pid;
  }
  request.file = is_file       ? words.front()
                 : log         ? *log
                 : request.pid ? point_log_of(directory_of_snapshots(invocation.options), *request.pid)
                               : newest_point_log(directory_of_snapshots(invocation.options));
}

LogRequest read_request(const Invocation& invocation) {
  const po::variables_map& options = invocation.options;
  LogRequest request;
  if (const auto metric = option_value<std::string>(options, "metric")) {
    request.metric = metric_of(*metric);
    request.metric_chosen = true;
  }
  if (const auto slice = option_value<std::string>(options, "slice")) {
    request.slice = parse_slice(*slice);
    if (!request.slice) {
      throw Error(ExitCode::kUsage, fmt::format("--slice is '{}': expected A:B", *slice), "2:5, :-1, -1: as in Python");
    }
  }
  if (const auto filter = option_value<std::string>(options, "filter")) {
    request.filter = Expression::parse_typed(*filter, point_names());
    if (request.filter->type() == ValueType::kText) {
      throw Error(ExitCode::kUsage, fmt::format("--filter '{}' is a text, and no condition", *filter),
                  "such as: rss > 1GiB and id ~* \"after\"");
    }
  }
  for (const std::string& map :
       option_value<std::vector<std::string>>(options, "map").value_or(std::vector<std::string>())) {
    request.maps.push_back(Expression::parse_typed(map, point_names()));
  }
  request.show = show_of(options, !request.maps.empty());
  request.follow = option_flag(options, "follow");
  const Format format = invocation.output.format();
  if (request.show == Show::kPlot && format != Format::kText) {
    throw Error(ExitCode::kUsage, "--plot is for people", "--json and --csv give the points");
  }
  const bool by_line = request.show == Show::kPoints && (format == Format::kText || format == Format::kJsonLines);
  if (request.follow && (!by_line || request.slice)) {
    throw Error(ExitCode::kUsage, "--follow lists points as they come, as text or --jsonl",
                "without --slice, --ids, --memories, --map, --plot and --group-by");
  }
  choose_file(request, invocation);
  return request;
}

// Of the processes of a log that had the pid, the one that runs, else the last one.
std::optional<ProcessKey> process_of(const std::vector<MemoryPoint>& points, const LogRequest& request, Log& log) {
  if (!request.pid) return std::nullopt;
  const auto running = running_process(*request.pid);
  std::optional<ProcessKey> found;
  bool several = false;
  for (const MemoryPoint& point : points) {
    if (point.process.pid != *request.pid) continue;
    if (found && !(*found == point.process)) several = true;
    if (!found || !running || !(*found == *running)) found = point.process;
  }
  if (!found) {
    throw Error(ExitCode::kBadFile, fmt::format("{} has no points of process {}", request.file, *request.pid),
                fmt::format("memsnap log {} shows what it has", request.file));
  }
  if (several) {
    log.warning("pid_reused", fmt::format("another process had pid {} before: memsnap log {} shows the points of both",
                                          *request.pid, request.file));
  }
  return found;
}

PointLogOptions log_options(const Invocation& invocation) {
  PointLogOptions options;
  options.cancelled = invocation.cancelled;
  return options;
}

class LogView {
 public:
  LogView(const Invocation& invocation, LogRequest request)
      : invocation_(invocation),
        request_(std::move(request)),
        log_(PointLog::for_reading(request_.file, log_options(invocation))),
        lister_(request_.metric) {}

  ExitCode show() {
    const std::vector<MemoryPoint> points = log_.points();
    choose_metric(points);
    process_ = process_of(points, request_, invocation_.log);
    std::vector<ListedPoint> listed = list(points);
    if (request_.slice) {
      const auto [begin, end] = request_.slice->of(listed.size());
      listed = {std::make_move_iterator(listed.begin() + static_cast<std::ptrdiff_t>(begin)),
                std::make_move_iterator(listed.begin() + static_cast<std::ptrdiff_t>(end))};
    }
    std::erase_if(listed, [this](const ListedPoint& point) { return !is_wanted(point); });
    write(listed);
    if (request_.follow) follow(points.empty() ? 0 : points.back().sequence);
    return ExitCode::kDone;
  }

 private:
  // Where all points have their objects counted, that is what they were made for.
  void choose_metric(const std::vector<MemoryPoint>& points) {
    const bool counted = !points.empty() && std::all_of(points.begin(), points.end(), [](const MemoryPoint& point) {
      return point.memory.object_bytes.has_value();
    });
    if (!request_.metric_chosen && counted) request_.metric = PointMetric::kObjects;
    lister_ = PointLister(request_.metric);
    style_.metric = request_.metric;
    style_.units = invocation_.output.style().units;
    style_.ascii = invocation_.output.style().ascii;
    style_.width = invocation_.output.style().width;
    style_.several_processes =
        !request_.pid && std::any_of(points.begin(), points.end(), [&](const MemoryPoint& point) {
          return !(point.process == points.front().process);
        });
  }

  bool is_wanted(const ListedPoint& point) const {
    return !request_.filter || request_.filter->accepts(values_of(point));
  }

  std::vector<ListedPoint> list(const std::vector<MemoryPoint>& points) {
    std::vector<ListedPoint> listed;
    for (const MemoryPoint& point : points) {
      if (!process_ || point.process == *process_) listed.push_back(lister_.list(point));
    }
    return listed;
  }

  void write(const std::vector<ListedPoint>& points) {
    Output& output = invocation_.output;
    if (request_.show == Show::kById) return output.write(make_points_by_id(points, request_.metric));
    if (request_.show == Show::kByFunction) return output.write(make_points_by_function(points, request_.metric));
    if (output.format() == Format::kText) return write_text(points);
    if (request_.follow && output.format() == Format::kJsonLines) return write_rows(points);
    output.write(report_of(points));
  }

  void write_text(const std::vector<ListedPoint>& points) {
    Report report;
    if (request_.show == Show::kPlot) {
      report.headline = plot_points(points, style_, kPlotRows);
      return invocation_.output.write(report);
    }
    if (request_.show != Show::kPoints) return invocation_.output.write_text(plain_rows(points));
    for (const ListedPoint& point : points) report.headline.push_back(point_line(point, style_));
    if (request_.follow) return invocation_.output.write_now(report);
    if (auto course = course_line(points, style_); course && !style_.several_processes) {
      report.headline.push_back(std::move(*course));
    }
    invocation_.output.write(report);
  }

  std::string plain_rows(const std::vector<ListedPoint>& points) const {
    std::string text;
    for (const ListedPoint& point : points) {
      std::vector<std::string> values;
      if (request_.show == Show::kIds) values.push_back(printable(point.point.id));
      if (request_.show == Show::kMemories) values.push_back(point.value ? fmt::to_string(*point.value) : "-");
      for (const Expression& map : request_.maps) values.push_back(mapped_text(map, point));
      text += fmt::format("{}\n", fmt::join(values, "\t"));
    }
    return text;
  }

  Report report_of(const std::vector<ListedPoint>& points) const {
    Report report = make_points(points, request_.file, request_.metric);
    if (request_.show == Show::kPoints) return report;
    FactArray maps;
    Table table;
    table.key = "values";
    table.row_kind = "value";
    if (request_.show == Show::kIds) table.columns.push_back({"id", "", CellKind::kText});
    if (request_.show == Show::kMemories) table.columns.push_back({"memory", "", CellKind::kText});
    for (std::size_t i = 0; i < request_.maps.size(); ++i) {
      table.columns.push_back({fmt::format("map{}", i + 1), "", CellKind::kText});
      maps.push_back({request_.maps[i].text()});
    }
    for (std::size_t i = 0; i < table.columns.size(); ++i) table.machine_columns.push_back(i);
    for (const ListedPoint& point : points) {
      std::vector<Cell> row;
      if (request_.show == Show::kIds) row.emplace_back(point.point.id);
      if (request_.show == Show::kMemories) row.push_back(point.value ? Cell(*point.value) : Cell());
      for (const Expression& map : request_.maps) row.push_back(mapped_cell(map, point));
      table.rows.push_back(std::move(row));
    }
    if (!maps.empty()) report.facts.push_back({"map", {std::move(maps)}});
    report.table = std::move(table);
    return report;
  }

  // Each as a document of its own, for whoever reads along.
  void write_rows(const std::vector<ListedPoint>& points) {
    for (const ListedPoint& point : points)
      invocation_.output.write_line(make_points({point}, request_.file, request_.metric));
  }

  void follow(std::int64_t sequence) {
    while (!invocation_.cancelled()) {
      std::this_thread::sleep_for(kPoll);
      const std::vector<MemoryPoint> points = log_.points_after(sequence);
      if (points.empty()) continue;
      sequence = points.back().sequence;
      std::vector<ListedPoint> listed = list(points);
      std::erase_if(listed, [this](const ListedPoint& point) { return !is_wanted(point); });
      if (!listed.empty()) write(listed);
    }
  }

  const Invocation& invocation_;
  LogRequest request_;
  PointLog log_;
  PointLister lister_;
  PointsStyle style_;
  std::optional<ProcessKey> process_;
};

ExitCode run_log(const Invocation& invocation) { return LogView(invocation, read_request(invocation)).show(); }

}  // namespace

Command log_command() {
  Command command;
  command.name = "log";
  command.summary = "list, filter and plot the memory points of a process";
  command.arguments = "[PID|SELECTOR|FILE]";
  command.description =
      "Lists the points that memsnap point made: number, memory, change, id. Without an argument those of the log that "
      "was last written to. The memory is RSS, or that of the Python objects where all points have it.\n"
      "EXPR: the names i, id, rss, pss, uss, pyobj, objects, delta, time, pid, host, name, note; + - * /, comparisons, "
      "and, or, not; ~ compares with a regular expression, ~* without regard to case; sizes such as 100MiB; a time is "
      "compared with a text, time > \"2026-11-21T02:15\" (UTC); lower(t), upper(t), round(x), round(x, digits), MB(x).";
  auto add = command.options.add_options();
  add("metric", one_of("metric", {"rss", "pss", "uss", "pyobj"}), "which memory is shown");
  add("log", po::value<std::string>()->value_name("FILE"), "the log, where PID says whose points of it");
  add("slice", po::value<std::string>()->value_name("A:B"), "only these, as in Python: 2:5, :-1, -1:");
  add("filter", po::value<std::string>()->value_name("EXPR"), "only those for which it holds");
  add("map", po::value<std::vector<std::string>>()->value_name("EXPR"),
      "print this of each point; several are separated by tabs");
  add("ids", po::bool_switch(), "only the ids, one on each line");
  add("memories", po::bool_switch(), "only the memory, as bytes");
  add("plot", po::bool_switch(), "draw it over time");
  add("follow", po::bool_switch(), "go on with new points as they come, until Ctrl-C");
  add("group-by", one_of("group-by", {"id", "function"}),
      "sums: of the points of one id; of the calls between a point 'Before f()' and its 'After f()'");
  add_selector_options(command.options, false);
  command.examples = {
      {"memsnap log 4242", "all points of process 4242"},
      {"memsnap log 4242 --slice -1: --memories", "the last one, as a number"},
      {"memsnap log --filter 'rss > 1GiB and id ~* \"after\"' --map 'lower(id)' --map 'round(MB(rss), 1)'",
       "a table of one's own"},
      {"memsnap log 4242 --plot", "as a chart"}};
  command.exit_codes = {ExitCode::kNoSuchProcess, ExitCode::kCannotWrite, ExitCode::kBadFile};
  command.tabular = true;
  command.touches_process = true;  // Ctrl-C is an end as good as any
  command.run = run_log;
  return command;
}

}  // namespace memsnap
