#include "snapshot/analysis/growth.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace memsnap {
namespace {

struct Fit {
  double slope = 0;
  double quality = 0;  // R²
};

// Least squares of y = a + slope x. A time that stands still has no slope.
template <typename ValueOf>
Fit fit_line(const std::vector<double>& x, ValueOf value_of) {
  const auto count = static_cast<double>(x.size());
  double mean_x = 0;
  double mean_y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    mean_x += x[i] / count;
    mean_y += value_of(i) / count;
  }
  double xx = 0;
  double xy = 0;
  double yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x;
    const double dy = value_of(i) - mean_y;
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  if (xx == 0 || yy == 0) return {};
  return {xy / xx, xy * xy / (xx * yy)};
}

Growth measure(Series series, const std::vector<double>& seconds) {
  Growth growth;
  for (std::size_t i = 1; i < series.steps.size(); ++i) {
    growth.grown_steps += series.steps[i].size > series.steps[i - 1].size ? 1u : 0u;
  }
  const Fit sizes = fit_line(seconds, [&](std::size_t i) { return static_cast<double>(series.steps[i].size); });
  growth.bytes_per_second = sizes.slope;
  growth.fit = sizes.quality;
  growth.count_per_second =
      fit_line(seconds, [&](std::size_t i) { return static_cast<double>(series.steps[i].count); }).slope;
  growth.series = std::move(series);
  return growth;
}

}  // namespace

std::vector<Growth> find_growth(std::vector<Series> series, const std::vector<double>& seconds, std::size_t min_steps) {
  std::vector<Growth> found;
  for (Series& one : series) {
    if (one.steps.size() != seconds.size() || one.steps.size() < 2) continue;
    if (one.steps.back().size <= one.steps.front().size) continue;
    Growth growth = measure(std::move(one), seconds);
    if (growth.grown_steps >= min_steps) found.push_back(std::move(growth));
  }
  std::sort(found.begin(), found.end(), [](const Growth& a, const Growth& b) {
    return std::tie(b.bytes_per_second, a.series.name, a.series.type) <
           std::tie(a.bytes_per_second, b.series.name, b.series.type);
  });
  return found;
}

}  // namespace memsnap
