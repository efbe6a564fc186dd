#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace memsnap {

// Addresses from `begin` up to `end`.
struct Run {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Ascending, and no two that overlap or touch.
std::vector<Run> merged(std::vector<Run> ranges);
// What of `ranges` is not in `taken`; all ascending and disjoint.
std::vector<Run> subtract(std::span<const Run> ranges, std::span<const Run> taken);
// What is in both.
std::vector<Run> common(std::span<const Run> ranges, std::span<const Run> others);
// The one that holds an address; nullptr: none.
const Run* range_at(std::span<const Run> ranges, std::uint64_t address);

}  // namespace memsnap
