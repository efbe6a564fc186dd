#include "report/points_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <optional>

#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::array<std::string_view, 8> kBlocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<std::string_view, 8> kAsciiLevels{".", ":", "-", "=", "+", "*", "%", "#"};
constexpr std::size_t kUsualWidth = 100;
constexpr std::size_t kScaleWidth = 10;
constexpr std::size_t kLeastColumns = 10;

// Where on the horizontal axis a point stands, from 0 to 1.
std::vector<double> positions(const std::vector<ListedPoint>& points) {
  std::vector<double> places;
  bool goes_on = true;
  for (std::size_t i = 1; i < points.size(); ++i) {
    goes_on = goes_on && points[i].point.memory.time_ns >= points[i - 1].point.memory.time_ns;
  }
  const std::int64_t first = points.front().point.memory.time_ns;
  const auto span = static_cast<double>(points.back().point.memory.time_ns - first);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const bool by_time = goes_on && span > 0;
    places.push_back(by_time
                         ? static_cast<double>(points[i].point.memory.time_ns - first) / span
                         : static_cast<double>(i) / static_cast<double>(std::max<std::size_t>(1, points.size() - 1)));
  }
  return places;
}

// The height of each column: the largest of its points, else that of the column before.
std::vector<std::uint64_t> column_values(const std::vector<ListedPoint>& points, std::size_t columns) {
  const std::vector<double> places = positions(points);
  std::vector<std::optional<std::uint64_t>> found(columns);
  for (std::size_t i = 0; i < points.size(); ++i) {
    auto& column = found[static_cast<std::size_t>(std::lround(places[i] * static_cast<double>(columns - 1)))];
    column = std::max(column.value_or(0), points[i].value.value_or(0));
  }
  std::vector<std::uint64_t> values;
  values.reserve(found.size());
  for (const auto& one : found) values.push_back(one.value_or(values.empty() ? 0 : values.back()));
  return values;
}

// What one cell shows of a bar that fills `filled` eighths of it.
std::string_view cell_of(std::int64_t filled, bool ascii) {
  if (filled <= 0) return " ";
  if (ascii) return filled >= 4 ? "#" : filled >= 2 ? ":" : ".";
  return kBlocks.at(static_cast<std::size_t>(std::min<std::int64_t>(filled, 8) - 1));
}

}  // namespace

std::string sparkline(const std::vector<std::uint64_t>& values, std::size_t columns, bool ascii) {
  if (values.empty() || columns == 0) return "";
  const std::size_t width = std::min(columns, values.size());
  std::vector<std::uint64_t> shown(width, 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint64_t& share = shown[i * width / values.size()];
    share = std::max(share, values[i]);
  }
  const auto [least, largest] = std::minmax_element(shown.begin(), shown.end());
  const auto range = static_cast<double>(*largest - *least);
  std::string line;
  for (const std::uint64_t value : shown) {
    const double part = range > 0 ? static_cast<double>(value - *least) / range : 0;
    const auto level = static_cast<std::size_t>(std::lround(part * 7));
    line += ascii ? kAsciiLevels.at(level) : kBlocks.at(level);
  }
  return line;
}

std::vector<Line> plot_points(const std::vector<ListedPoint>& all, const PointsStyle& style, std::size_t rows) {
  std::vector<ListedPoint> points;
  std::copy_if(all.begin(), all.end(), std::back_inserter(points),
               [](const ListedPoint& p) { return p.value.has_value(); });
  if (points.empty() || rows == 0) return {Line().text(" no point to plot")};
  const std::size_t width = style.width > 0 ? static_cast<std::size_t>(style.width) : kUsualWidth;
  const std::size_t columns = std::max(width, kScaleWidth + kLeastColumns + 4) - kScaleWidth - 4;
  const std::vector<std::uint64_t> values = column_values(points, columns);
  const std::uint64_t largest = std::max<std::uint64_t>(1, *std::max_element(values.begin(), values.end()));
  std::vector<Line> lines;
  for (std::size_t row = rows; row > 0; --row) {
    // A scale on every fourth row, counted from the top.
    const bool scaled = (rows - row) % 4 == 0;
    const auto bytes =
        static_cast<std::uint64_t>(static_cast<double>(largest) * static_cast<double>(row) / static_cast<double>(rows));
    std::string bars;
    for (const std::uint64_t value : values) {
      const double height = static_cast<double>(value) / static_cast<double>(largest) * static_cast<double>(rows) * 8;
      bars += cell_of(std::int64_t{std::lround(height)} - static_cast<std::int64_t>(row - 1) * 8, style.ascii);
    }
    bars.erase(bars.find_last_not_of(' ') + 1);
    Line line;
    line.text(" " + padded_left(scaled ? bytes_text(bytes, style.units) : "", kScaleWidth), Emphasis::kFaint);
    lines.push_back(line.text(style.ascii ? " |" : " │").text(bars));
  }
  std::string axis;
  for (std::size_t i = 0; i < columns; ++i) axis += style.ascii ? "-" : "─";
  lines.push_back(
      Line().text(" " + padded_left("0", kScaleWidth), Emphasis::kFaint).text((style.ascii ? " +" : " └") + axis));
  const std::string from = exact_time_text(points.front().point.memory.time_ns).substr(0, 16);
  const std::string to = exact_time_text(points.back().point.memory.time_ns).substr(0, 16);
  const std::size_t gap = columns > from.size() + to.size() ? columns - from.size() - to.size() : 1;
  lines.push_back(Line().text(std::string(kScaleWidth + 3, ' ') + from + std::string(gap, ' ') + to, Emphasis::kFaint));
  return lines;
}

}  // namespace memsnap
