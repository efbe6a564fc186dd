#include "report/cli/log_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include "attach/base/printable.h"

namespace memsnap {
namespace {

constexpr double kLargestWhole = 9007199254740992;  // 2^53: up to it every whole number is exact

std::optional<std::int64_t> parse_index(std::string_view text) {
  std::int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

std::size_t bounded(std::int64_t index, std::size_t size) {
  const auto last = static_cast<std::int64_t>(size);
  if (index < 0) index = std::max<std::int64_t>(-last, index) + last;
  return static_cast<std::size_t>(std::min(index, last));
}

double number_of(const std::optional<std::uint64_t>& value) {
  return value ? static_cast<double>(*value) : std::numeric_limits<double>::quiet_NaN();
}

double number_of(const std::optional<std::int64_t>& value) {
  return value ? static_cast<double>(*value) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

std::pair<std::size_t, std::size_t> Slice::of(std::size_t size) const {
  const std::size_t from = begin ? bounded(*begin, size) : 0;
  const std::size_t to = end ? bounded(*end, size) : size;
  return {from, std::max(from, to)};
}

std::optional<Slice> parse_slice(std::string_view text) {
  const std::size_t colon = text.find(':');
  Slice slice;
  if (colon == std::string_view::npos) {
    slice.begin = parse_index(text);
    if (!slice.begin) return std::nullopt;
    if (*slice.begin != -1) slice.end = *slice.begin + 1;
    return slice;
  }
  const std::string_view first = text.substr(0, colon);
  const std::string_view last = text.substr(colon + 1);
  if (!first.empty() && !(slice.begin = parse_index(first))) return std::nullopt;
  if (!last.empty() && !(slice.end = parse_index(last))) return std::nullopt;
  return slice;
}

const std::vector<ExpressionName>& point_names() {
  static const std::vector<ExpressionName> names{
      {"i", ValueType::kNumber},     {"id", ValueType::kText},        {"rss", ValueType::kNumber},
      {"pss", ValueType::kNumber},   {"uss", ValueType::kNumber},     {"pyobj", ValueType::kNumber},
      {"delta", ValueType::kNumber}, {"objects", ValueType::kNumber}, {"time", ValueType::kTime},
      {"pid", ValueType::kNumber},   {"host", ValueType::kText},      {"name", ValueType::kText},
      {"note", ValueType::kText}};
  return names;
}

Expression::Values values_of(const ListedPoint& listed) {
  return [&listed](const std::string& name) -> ExpressionValue {
    const MemoryPoint& point = listed.point;
    const MeasuredMemory& memory = point.memory;
    if (name == "i") return static_cast<double>(listed.index);
    if (name == "id") return point.id;
    if (name == "rss") return static_cast<double>(memory.rss);
    if (name == "pss") return static_cast<double>(memory.pss);
    if (name == "uss") return static_cast<double>(memory.uss);
    if (name == "pyobj") return number_of(memory.object_bytes);
    if (name == "objects") return number_of(memory.objects);
    if (name == "delta") return number_of(listed.delta);
    if (name == "time") return static_cast<double>(memory.time_ns) / 1e9;
    if (name == "pid") return static_cast<double>(point.process.pid);
    if (name == "host") return point.process.host;
    return name == "name" ? point.name : point.note;
  };
}

std::string mapped_text(const Expression& map, const ListedPoint& point) {
  const Cell cell = mapped_cell(map, point);
  if (const auto* text = std::get_if<std::string>(&cell)) return printable(*text);
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return fmt::to_string(*whole);
  const auto* const number = std::get_if<double>(&cell);
  return number == nullptr ? "-" : fmt::format("{}", *number);
}

Cell mapped_cell(const Expression& map, const ListedPoint& point) {
  ExpressionValue value = map.result(values_of(point));
  if (auto* text = std::get_if<std::string>(&value)) return std::move(*text);
  const double number = std::get<double>(value);
  if (!std::isfinite(number)) return {};
  if (map.type() == ValueType::kTime) return exact_time_text(std::llround(number * 1e3) * 1'000'000);
  if (std::trunc(number) == number && std::abs(number) <= kLargestWhole) return static_cast<std::int64_t>(number);
  return number;
}

}  // namespace memsnap
