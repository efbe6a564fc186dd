#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/renderer.h"
#include "report/report.h"
#include "snapshot/model/memory_point.h"

namespace memsnap {

enum class PointMetric : std::uint8_t { kRss, kPss, kUss, kObjects };
std::string_view metric_name(PointMetric metric);  // "rss", "pss", "uss", "pyobj"
// Empty: the objects were not counted.
std::optional<std::uint64_t> metric_of(const MeasuredMemory& memory, PointMetric metric);

// A point of a log and where it stands in it.
struct ListedPoint {
  std::uint64_t index = 0;  // from 0, in the order of the log
  MemoryPoint point;
  std::optional<std::uint64_t> value;
  std::optional<std::int64_t> delta;  // to the point before of the same process that has a value
};

// Numbers points as they come: a log that grows is listed bit by bit.
class PointLister {
 public:
  explicit PointLister(PointMetric metric) : metric_(metric) {}
  ListedPoint list(MemoryPoint point);

 private:
  struct Last {
    ProcessKey process;
    std::uint64_t value = 0;
  };
  PointMetric metric_;
  std::uint64_t next_ = 0;
  std::vector<Last> last_;
};

struct PointsStyle {
  PointMetric metric = PointMetric::kRss;
  Units units = Units::kIec;
  bool ascii = false;
  bool several_processes = false;  // each line says whose it is
  int width = 0;                   // of a chart; 0: 100
};

std::string exact_time_text(std::int64_t ns);  // 2026-11-21T02:15:04.123Z

// memsnap.log/1: a row a point.
Report make_points(const std::vector<ListedPoint>& points, const std::string& file, PointMetric metric);
// The same for people, one line a point: " 3  1.29 GiB  +903.21 MiB  → After rebuild_index()".
Line point_line(const ListedPoint& point, const PointsStyle& style);
// How it went, under the points: a sparkline, the first and the last value, and the time between.
std::optional<Line> course_line(const std::vector<ListedPoint>& points, const PointsStyle& style);

// memsnap.log/1 by id: what the points of each id that was asked for had.
Report make_points_by_id(const std::vector<ListedPoint>& points, PointMetric metric);
// By function: what calls between a point "Before f()" and its "After f()" left.
Report make_points_by_function(const std::vector<ListedPoint>& points, PointMetric metric);

}  // namespace memsnap
