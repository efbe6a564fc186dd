#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace memsnap {

// The forms in which code objects keep what line an instruction is of.
enum class LineTableForm : std::uint8_t {
  kLnotab,     // to 3.9: pairs of steps, address and line
  kRanges,     // 3.10: pairs of lengths and line steps, -128: no line
  kLocations,  // 3.11+: entries of variable length, one for a stretch of instructions
};

// The line of the instruction `address` bytes into the code; negative: before the first one. Empty when it has none, or
// the table ends before it. The table is hostile: any bytes give a line or none.
std::optional<std::int32_t> line_of(LineTableForm form, std::span<const std::uint8_t> table, std::int32_t first_line,
                                    std::int64_t address);

}  // namespace memsnap
