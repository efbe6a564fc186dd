#include "report/points_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <map>
#include <utility>

#include "report/points_plot.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::size_t kSparkColumns = 40;
constexpr std::size_t kValueWidth = 11;
constexpr std::size_t kDeltaWidth = 12;
constexpr std::string_view kBefore = "Before ";
constexpr std::string_view kAfter = "After ";

// As MEMPRINT() of tracemem: two digits after the point.
std::string two_decimals(std::uint64_t bytes, Units units) {
  if (units == Units::kBytes) return fmt::to_string(bytes);
  constexpr std::array<const char*, 5> kBinary{"B", "KiB", "MiB", "GiB", "TiB"};
  constexpr std::array<const char*, 5> kDecimal{"B", "kB", "MB", "GB", "TB"};
  const double base = units == Units::kIec ? 1024 : 1000;
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (unit + 1 < kBinary.size() && value >= base - 0.005) {
    value /= base;
    ++unit;
  }
  const char* const name = units == Units::kIec ? kBinary.at(unit) : kDecimal.at(unit);
  return unit == 0 ? fmt::format("{} {}", bytes, name) : fmt::format("{:.2f} {}", value, name);
}

std::string change_text(std::int64_t bytes, Units units) {
  const std::uint64_t size = bytes < 0 ? 0 - static_cast<std::uint64_t>(bytes) : static_cast<std::uint64_t>(bytes);
  return (bytes < 0 ? "-" : "+") + two_decimals(size, units);
}

Cell cell_of(const std::optional<std::uint64_t>& value) { return value ? Cell(*value) : Cell(); }
Cell cell_of(const std::optional<std::int64_t>& value) { return value ? Cell(*value) : Cell(); }

std::int64_t difference(std::uint64_t now, std::uint64_t before) { return static_cast<std::int64_t>(now - before); }

Report grouped(PointMetric metric, std::string by) {
  Report report;
  report.schema = "memsnap.log/1";
  report.facts = {{"metric", {std::string(metric_name(metric))}}, {"group_by", {std::move(by)}}};
  return report;
}

// "Before f()" and the process it was made in.
struct OpenCall {
  ProcessKey process;
  std::string function;
  std::uint64_t value = 0;
  std::int64_t time_ns = 0;
};

struct CallSums {
  std::uint64_t calls = 0;
  std::uint64_t raised = 0;
  std::uint64_t delta = 0;  // two's complement: what a file claims cannot overflow it
  std::int64_t largest = 0;
  double seconds = 0;

  std::int64_t change() const { return static_cast<std::int64_t>(delta); }
};

}  // namespace

std::string_view metric_name(PointMetric metric) {
  constexpr std::array<std::string_view, 4> kNames{"rss", "pss", "uss", "pyobj"};
  return kNames.at(static_cast<std::size_t>(metric));
}

std::optional<std::uint64_t> metric_of(const MeasuredMemory& memory, PointMetric metric) {
  switch (metric) {
    case PointMetric::kRss:
      return memory.rss;
    case PointMetric::kPss:
      return memory.pss;
    case PointMetric::kUss:
      return memory.uss;
    case PointMetric::kObjects:
      break;
  }
  return memory.object_bytes;
}

ListedPoint PointLister::list(MemoryPoint point) {
  ListedPoint listed;
  listed.index = next_++;
  listed.value = metric_of(point.memory, metric_);
  if (listed.value) {
    const auto last =
        std::find_if(last_.begin(), last_.end(), [&point](const Last& one) { return one.process == point.process; });
    if (last == last_.end()) {
      last_.push_back({point.process, *listed.value});
    } else {
      listed.delta = difference(*listed.value, std::exchange(last->value, *listed.value));
    }
  }
  listed.point = std::move(point);
  return listed;
}

std::string exact_time_text(std::int64_t ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t part = ((ns % kSecond) + kSecond) % kSecond;
  const std::time_t seconds = (ns - part) / kSecond;
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "?";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, part / 1'000'000);
}

Report make_points(const std::vector<ListedPoint>& points, const std::string& file, PointMetric metric) {
  Report report;
  report.schema = "memsnap.log/1";
  report.facts = {{"file", {file}}, {"metric", {std::string(metric_name(metric))}}};
  Table table;
  table.key = "points";
  table.row_kind = "point";
  for (const char* key : {"i", "id", "time", "rss", "pss", "uss", "pyobj", "objects", "delta", "pause_ms", "pid",
                          "host", "name", "note"}) {
    table.machine_columns.push_back(table.columns.size());
    table.columns.push_back({key, key, CellKind::kText});
  }
  for (const ListedPoint& listed : points) {
    const MemoryPoint& point = listed.point;
    const MeasuredMemory& memory = point.memory;
    table.rows.push_back({listed.index, point.id, exact_time_text(memory.time_ns), memory.rss, memory.pss, memory.uss,
                          cell_of(memory.object_bytes), cell_of(memory.objects), cell_of(listed.delta),
                          memory.pause_ns ? Cell(static_cast<double>(*memory.pause_ns) / 1e6) : Cell(),
                          std::int64_t{point.process.pid}, point.process.host, point.name, point.note});
  }
  report.table = std::move(table);
  return report;
}

Line point_line(const ListedPoint& point, const PointsStyle& style) {
  const std::string value = point.value ? two_decimals(*point.value, style.units) : "-";
  const std::string delta = point.delta ? change_text(*point.delta, style.units) : "";
  Line line;
  line.text(fmt::format("{:>2} ", point.index), Emphasis::kFaint);
  if (style.several_processes) line.text(fmt::format("{:>7} ", point.point.process.pid));
  line.text(padded_left(value, kValueWidth), Emphasis::kStrong);
  const bool grew = point.delta && *point.delta > 0;
  line.text(" " + padded_left(delta, kDeltaWidth), grew ? Emphasis::kWarning : Emphasis::kNone);
  line.text(style.ascii ? "   -> " : "   → ").name(point.point.id);
  if (!point.point.note.empty()) line.text("  ").name(point.point.note, Emphasis::kFaint);
  return line;
}

std::optional<Line> course_line(const std::vector<ListedPoint>& points, const PointsStyle& style) {
  std::vector<std::uint64_t> values;
  const ListedPoint* first = nullptr;
  const ListedPoint* last = nullptr;
  for (const ListedPoint& point : points) {
    if (!point.value) continue;
    values.push_back(*point.value);
    last = &point;
    if (first == nullptr) first = &point;
  }
  if (first == nullptr || last == nullptr || values.size() < 2) return std::nullopt;
  Line line;
  line.text("    " + sparkline(values, kSparkColumns, style.ascii) + "  ");
  line.text(two_decimals(*first->value, style.units) + (style.ascii ? " -> " : " → ") +
            two_decimals(*last->value, style.units));
  line.text(" (" + change_text(difference(*last->value, *first->value), style.units) + ")");
  const double seconds = static_cast<double>(last->point.memory.time_ns - first->point.memory.time_ns) / 1e9;
  if (seconds >= 0) line.text(" in " + duration_text(seconds));
  return line;
}

Report make_points_by_id(const std::vector<ListedPoint>& points, PointMetric metric) {
  struct Sums {
    std::uint64_t count = 0;
    std::uint64_t least = 0;
    std::uint64_t largest = 0;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
  };
  std::vector<std::pair<std::string, Sums>> groups;
  for (const ListedPoint& point : points) {
    if (!point.value) continue;
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&point](const auto& one) { return one.first == point.point.asked; });
    if (group == groups.end()) {
      groups.push_back({point.point.asked, {0, *point.value, *point.value, *point.value, 0}});
      group = std::prev(groups.end());
    }
    Sums& sums = group->second;
    ++sums.count;
    sums.least = std::min(sums.least, *point.value);
    sums.largest = std::max(sums.largest, *point.value);
    sums.last = *point.value;
  }
  Report report = grouped(metric, "id");
  Table table;
  table.key = "groups";
  table.row_kind = "group";
  table.columns = {{"count", "POINTS", CellKind::kCount},
                   {"first", "FIRST", CellKind::kBytes},
                   {"last", "LAST", CellKind::kBytes},
                   {"least", "LEAST", CellKind::kBytes},
                   {"largest", "LARGEST", CellKind::kBytes},
                   {"delta", "CHANGE", CellKind::kGrowth},
                   {"id", "ID", CellKind::kName}};
  table.machine_columns = {6, 0, 1, 2, 3, 4, 5};
  for (const auto& [id, sums] : groups) {
    table.rows.push_back(
        {sums.count, sums.first, sums.last, sums.least, sums.largest, difference(sums.last, sums.first), id});
  }
  report.table = std::move(table);
  return report;
}

Report make_points_by_function(const std::vector<ListedPoint>& points, PointMetric metric) {
  std::vector<OpenCall> open;
  std::map<std::string, CallSums> functions;
  for (const ListedPoint& point : points) {
    const std::string& id = point.point.asked;
    if (!point.value || !id.ends_with("()")) continue;
    if (id.starts_with(kBefore)) {
      open.push_back({point.point.process, id.substr(kBefore.size()), *point.value, point.point.memory.time_ns});
      continue;
    }
    if (!id.starts_with(kAfter)) continue;
    // The innermost call of that function that is still open: recursion and threads may lie between.
    const std::string function = id.substr(kAfter.size());
    const auto call = std::find_if(open.rbegin(), open.rend(), [&](const OpenCall& one) {
      return one.process == point.point.process && one.function == function;
    });
    if (call == open.rend()) continue;
    CallSums& sums = functions[function];
    const std::int64_t delta = difference(*point.value, call->value);
    sums.largest = sums.calls == 0 ? delta : std::max(sums.largest, delta);
    ++sums.calls;
    sums.delta += static_cast<std::uint64_t>(delta);
    sums.seconds += static_cast<double>(point.point.memory.time_ns - call->time_ns) / 1e9;
    if (point.point.note.starts_with("raised")) ++sums.raised;
    open.erase(std::next(call).base());
  }
  Report report = grouped(metric, "function");
  Table table;
  table.key = "groups";
  table.row_kind = "group";
  table.columns = {{"calls", "CALLS", CellKind::kCount},
                   {"raised", "RAISED", CellKind::kCount},
                   {"delta", "CHANGE", CellKind::kGrowth},
                   {"mean_delta", "A CALL", CellKind::kGrowth},
                   {"largest_delta", "LARGEST", CellKind::kGrowth},
                   {"seconds", "TIME", CellKind::kText, true},
                   {"function", "FUNCTION", CellKind::kName}};
  table.machine_columns = {6, 0, 1, 2, 3, 4, 5};
  std::vector<std::pair<std::string, CallSums>> rows(functions.begin(), functions.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second.change() > b.second.change(); });
  for (const auto& [function, sums] : rows) {
    table.rows.push_back({sums.calls, sums.raised, sums.change(), sums.change() / static_cast<std::int64_t>(sums.calls),
                          sums.largest, sums.seconds, function});
  }
  report.table = std::move(table);
  return report;
}

}  // namespace memsnap
