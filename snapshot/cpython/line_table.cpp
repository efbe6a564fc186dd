#include "snapshot/cpython/line_table.h"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace memsnap {
namespace {

// A line as a report may print it: hostile steps wrap, and what is no line number is none.
std::optional<std::int32_t> as_line(std::int64_t line) {
  if (line < 0 || line > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<std::int32_t>(line);
}

std::int64_t signed_byte(std::uint8_t byte) { return static_cast<std::int8_t>(byte); }

std::optional<std::int32_t> in_lnotab(std::span<const std::uint8_t> table, std::int64_t line, std::int64_t wanted) {
  std::int64_t address = 0;
  for (std::size_t i = 0; i + 1 < table.size(); i += 2) {
    address += table[i];
    if (address > wanted) break;
    line += signed_byte(table[i + 1]);
  }
  return as_line(line);
}

std::optional<std::int32_t> in_ranges(std::span<const std::uint8_t> table, std::int64_t line, std::int64_t wanted) {
  constexpr std::int64_t kNoLine = -128;
  std::int64_t end = 0;
  for (std::size_t i = 0; i + 1 < table.size(); i += 2) {
    end += table[i];
    const std::int64_t step = signed_byte(table[i + 1]);
    if (step != kNoLine) line += step;
    if (end > wanted) return step == kNoLine ? std::nullopt : as_line(line);
  }
  return std::nullopt;
}

// A number in groups of six bits, the lowest first; the sign is the lowest bit.
std::int64_t signed_varint(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kMostGroups = 7;  // more than any line needs
  std::uint64_t value = 0;
  unsigned shift = 0;
  for (const std::uint8_t byte : bytes.first(std::min(bytes.size(), kMostGroups))) {
    value |= static_cast<std::uint64_t>(byte & 63) << shift;
    shift += 6;
    if ((byte & 64) == 0) break;
  }
  const auto magnitude = static_cast<std::int64_t>(value >> 1);
  return (value & 1) != 0 ? -magnitude : magnitude;
}

std::optional<std::int32_t> in_locations(std::span<const std::uint8_t> table, std::int64_t line, std::int64_t wanted) {
  enum : unsigned { kOneLine0 = 10, kOneLine2 = 12, kNoColumns = 13, kLong = 14, kNone = 15 };
  constexpr std::int64_t kInstruction = 2;  // bytes of one
  std::int64_t end = 0;
  for (std::size_t i = 0; i < table.size();) {
    const std::uint8_t first = table[i];
    if ((first & 128) == 0) return std::nullopt;  // no beginning of an entry
    const unsigned code = first >> 3 & 15;
    end += ((first & 7) + 1) * kInstruction;
    if (code == kNoColumns || code == kLong) {
      line += signed_varint(table.subspan(i + 1));
    } else if (code >= kOneLine0 && code <= kOneLine2) {
      line += code - kOneLine0;
    }
    if (end > wanted) return code == kNone ? std::nullopt : as_line(line);
    for (++i; i < table.size() && (table[i] & 128) == 0;) ++i;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::int32_t> line_of(LineTableForm form, std::span<const std::uint8_t> table, std::int32_t first_line,
                                    std::int64_t address) {
  if (address < 0) return as_line(first_line);
  switch (form) {
    case LineTableForm::kLnotab:
      return in_lnotab(table, first_line, address);
    case LineTableForm::kRanges:
      return in_ranges(table, first_line, address);
    case LineTableForm::kLocations:
      return in_locations(table, first_line, address);
  }
  return std::nullopt;
}

}  // namespace memsnap
