#include "snapshot/model/allocation_profile.h"

#include <algorithm>
#include <cmath>

namespace memsnap {
namespace {

constexpr double kNormal95 = 1.96;

bool calls_fit(const AllocationProfile& profile) {
  const std::size_t calls = profile.call_count();
  if (calls == 0 || profile.call_frame.size() != calls) return false;
  if (profile.call_parent[0] != 0 || profile.call_frame[0] != kNoFrame) return false;
  for (std::size_t i = 1; i < calls; ++i) {
    if (profile.call_parent[i] >= i || profile.call_frame[i] >= profile.frames.size()) return false;
  }
  return true;
}

bool rows_fit(const AllocationProfile& profile) {
  const std::size_t rows = profile.row_count();
  for (const std::size_t size :
       {profile.row_thread.size(), profile.row_allocator.size(), profile.allocated.size(), profile.live.size(),
        profile.peak.size(), profile.temporary.size(), profile.samples.size()}) {
    if (size != rows) return false;
  }
  for (std::size_t i = 0; i < rows; ++i) {
    if (profile.row_call[i] >= profile.call_count() || profile.row_thread[i] >= profile.threads.size() ||
        profile.row_allocator[i] >= profile.allocators.size()) {
      return false;
    }
  }
  return true;
}

bool slices_fit(const AllocationProfile& profile) {
  std::uint64_t begin = 0;
  for (const ProfileSlice& slice : profile.slices) {
    if (slice.change_begin != begin) return false;
    begin += slice.change_count;
  }
  return begin == profile.changes.size() &&
         std::all_of(profile.changes.begin(), profile.changes.end(),
                     [&](const SliceChange& change) { return change.row < profile.row_count(); });
}

bool texts_fit(const AllocationProfile& profile) {
  const auto known = [&](StringId id) { return id < profile.strings.size(); };
  return std::all_of(profile.frames.begin(), profile.frames.end(),
                     [&](const ProfileFrame& frame) { return known(frame.function) && known(frame.file); }) &&
         std::all_of(profile.threads.begin(), profile.threads.end(),
                     [&](const ProfileThread& thread) { return known(thread.name); }) &&
         std::all_of(profile.allocators.begin(), profile.allocators.end(),
                     [&](const ProfileAllocator& one) { return known(one.name); });
}

}  // namespace

BlockTotals sum_of(std::span<const BlockTotals> column) {
  BlockTotals sum;
  for (const BlockTotals& one : column) {
    sum.count += one.count;
    sum.bytes += one.bytes;
  }
  return sum;
}

BlockTotals passed_in_all(const AllocationProfile& profile) {
  BlockTotals sum;
  for (const ProfileThread& thread : profile.threads) {
    sum.count += thread.allocations;
    sum.bytes += thread.bytes;
  }
  return sum;
}

double allocated_error(const AllocationProfile& profile) {
  if (!profile.sampled()) return 0;
  double variance = 0;
  for (std::size_t row = 0; row < profile.row_count(); ++row) {
    const auto samples = static_cast<double>(profile.samples[row]);
    const auto count = static_cast<double>(profile.allocated[row].count);
    const auto bytes = static_cast<double>(profile.allocated[row].bytes);
    if (samples < 1 || count <= samples) continue;
    // Each sample stands for bytes / samples; a block was taken with the chance samples / count.
    variance += bytes * bytes / samples * (1 - samples / count);
  }
  return kNormal95 * std::sqrt(variance);
}

double live_error(const AllocationProfile& profile) {
  return profile.live_variance > 0 ? kNormal95 * std::sqrt(profile.live_variance) : 0;
}

bool is_consistent(const AllocationProfile& profile) {
  return profile.period != 0 && calls_fit(profile) && rows_fit(profile) && slices_fit(profile) && texts_fit(profile);
}

}  // namespace memsnap
