#include "snapshot/capture/merge_slices.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

namespace memsnap {
namespace {

SliceChange sum_of(const SliceChange& a, const SliceChange& b) {
  // Unsigned sums: hostile tables may hold any numbers.
  const auto sum = [](std::int64_t x, std::int64_t y) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(x) + static_cast<std::uint64_t>(y));
  };
  return {a.row, a.count + b.count, a.bytes + b.bytes, sum(a.live_count, b.live_count),
          sum(a.live_bytes, b.live_bytes)};
}

void merge_changes(std::span<const SliceChange> first, std::span<const SliceChange> second,
                   std::vector<SliceChange>& out) {
  auto a = first.begin();
  auto b = second.begin();
  while (a != first.end() || b != second.end()) {
    if (b == second.end() || (a != first.end() && a->row < b->row)) {
      out.push_back(*a++);
    } else if (a == first.end() || b->row < a->row) {
      out.push_back(*b++);
    } else {
      const SliceChange both = sum_of(*a++, *b++);
      if (both != SliceChange{.row = both.row}) out.push_back(both);
    }
  }
}

}  // namespace

void merge_slices(AllocationProfile& profile) {
  std::vector<ProfileSlice> slices;
  std::vector<SliceChange> changes;
  changes.reserve(profile.changes.size());
  for (std::size_t i = 0; i < profile.slices.size(); i += 2) {
    const ProfileSlice& first = profile.slices[i];
    ProfileSlice merged = first;
    std::span<const SliceChange> later;
    if (i + 1 < profile.slices.size()) {
      merged = profile.slices[i + 1];
      later = profile.changes_of(merged);
      merged.peak_live = std::max(first.peak_live, merged.peak_live);
      merged.allocated.count += first.allocated.count;
      merged.allocated.bytes += first.allocated.bytes;
    }
    merged.change_begin = static_cast<std::uint32_t>(changes.size());
    merge_changes(profile.changes_of(first), later, changes);
    merged.change_count = static_cast<std::uint32_t>(changes.size()) - merged.change_begin;
    slices.push_back(merged);
  }
  profile.slices = std::move(slices);
  profile.changes = std::move(changes);
}

}  // namespace memsnap
