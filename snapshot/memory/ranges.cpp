#include "snapshot/memory/ranges.h"

#include <algorithm>
#include <iterator>

namespace memsnap {

std::vector<Run> merged(std::vector<Run> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Run& a, const Run& b) { return a.begin < b.begin; });
  std::vector<Run> out;
  for (const Run& range : ranges) {
    if (range.begin >= range.end) continue;
    if (!out.empty() && range.begin <= out.back().end) {
      out.back().end = std::max(out.back().end, range.end);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

std::vector<Run> subtract(std::span<const Run> ranges, std::span<const Run> taken) {
  std::vector<Run> left;
  std::size_t next = 0;
  for (const Run& range : ranges) {
    std::uint64_t at = range.begin;
    while (next < taken.size() && taken[next].end <= at) ++next;
    for (std::size_t i = next; i < taken.size() && taken[i].begin < range.end; ++i) {
      if (taken[i].begin > at) left.push_back({at, taken[i].begin});
      at = std::max(at, taken[i].end);
    }
    if (at < range.end) left.push_back({at, range.end});
  }
  return left;
}

std::vector<Run> common(std::span<const Run> ranges, std::span<const Run> others) {
  std::vector<Run> both;
  for (std::size_t i = 0, j = 0; i < ranges.size() && j < others.size();) {
    const std::uint64_t begin = std::max(ranges[i].begin, others[j].begin);
    const std::uint64_t end = std::min(ranges[i].end, others[j].end);
    if (begin < end) both.push_back({begin, end});
    if (ranges[i].end < others[j].end) {
      ++i;
    } else {
      ++j;
    }
  }
  return both;
}

const Run* range_at(std::span<const Run> ranges, std::uint64_t address) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), address,
                                      [](std::uint64_t at, const Run& range) { return at < range.begin; });
  if (after == ranges.begin() || address >= std::prev(after)->end) return nullptr;
  return &*std::prev(after);
}

}  // namespace memsnap
