#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/cli/expression.h"
#include "report/points_report.h"

namespace memsnap {

// A:B as Python means it: negative numbers count from the end, what is outside is cut off.
struct Slice {
  std::optional<std::int64_t> begin;
  std::optional<std::int64_t> end;

  // The half-open range of `size` points; empty when begin >= end.
  std::pair<std::size_t, std::size_t> of(std::size_t size) const;
};
std::optional<Slice> parse_slice(std::string_view text);  // "2:5", ":-1", "-1:", and "3" for one point

// What the expressions of memsnap log may name: i, id, rss, pss, uss, pyobj, objects, delta, time, pid, host, name,
// note.
const std::vector<ExpressionName>& point_names();
Expression::Values values_of(const ListedPoint& point);

// What --map gives for one point: as text for people; a number, a text or nothing for machines.
std::string mapped_text(const Expression& map, const ListedPoint& point);
Cell mapped_cell(const Expression& map, const ListedPoint& point);

}  // namespace memsnap
