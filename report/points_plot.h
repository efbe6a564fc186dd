#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/points_report.h"

namespace memsnap {

// One character for each value, scaled from the least to the largest; of more than `columns` values, the largest of
// each share.
std::string sparkline(const std::vector<std::uint64_t>& values, std::size_t columns, bool ascii);

// The values over time as bars, `rows` high, with a scale from nothing to the largest; without a time that goes on
// (the clock was set back) over the points themselves.
std::vector<Line> plot_points(const std::vector<ListedPoint>& points, const PointsStyle& style, std::size_t rows);

}  // namespace memsnap
