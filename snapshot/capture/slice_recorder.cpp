#include "snapshot/capture/slice_recorder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "snapshot/capture/merge_slices.h"

namespace memsnap {
namespace {

constexpr std::size_t kAllocators = static_cast<std::size_t>(Allocator::kCount);
constexpr std::array<std::string_view, kAllocators + 1> kAllocatorNames{
    "malloc",  "calloc", "realloc", "posix_memalign",  "aligned_alloc",   "memalign",         "valloc",
    "pvalloc", "new",    "mmap",    "pymalloc_malloc", "pymalloc_calloc", "pymalloc_realloc", "unknown"};
constexpr auto kUnknownAllocator = static_cast<std::uint8_t>(kAllocators);

static_assert(kProfileSizeClasses == kAgentSizeClasses);

std::uint64_t whole(std::uint64_t in_256ths) { return (in_256ths >> 8) + (in_256ths >> 7 & 1); }
BlockTotals whole(const LiveBlocks& blocks) { return {whole(blocks.count), blocks.bytes}; }

std::uint64_t grown(std::uint64_t now, std::uint64_t before) { return now > before ? now - before : 0; }
std::int64_t change(std::uint64_t now, std::uint64_t before) { return static_cast<std::int64_t>(now - before); }

}  // namespace

std::string_view allocator_name(Allocator allocator) {
  return kAllocatorNames.at(std::min(static_cast<std::size_t>(allocator), kAllocators));
}

SliceRecorder::SliceRecorder(const TableReader& tables, NativeNames native_names, SliceLimits limits)
    : limits_(limits), trie_(tables, profile_, std::move(native_names)) {
  profile_.began_ns = profile_.ended_ns = static_cast<std::int64_t>(tables.header().began_ns);
  profile_.period = tables.period();
  for (const std::string_view name : kAllocatorNames) profile_.allocators.push_back({profile_.strings.add(name), 0, 0});
  profile_.threads.resize(1);
}

void SliceRecorder::name_thread(std::uint32_t tid, std::string_view name) {
  thread_names_[tid] = profile_.strings.add(name);
}

std::uint32_t SliceRecorder::add_row(CallIndex call, std::uint32_t thread, std::uint8_t allocator) {
  profile_.row_call.push_back(call);
  profile_.row_thread.push_back(thread);
  profile_.row_allocator.push_back(allocator);
  if (thread >= profile_.threads.size()) profile_.threads.resize(thread + std::size_t{1});
  return static_cast<std::uint32_t>(profile_.row_count());
}

std::uint32_t SliceRecorder::row_of(const CallTrie::Site& site) {
  // Threads have 22 bits and allocators 4.
  const auto allocator = static_cast<std::uint8_t>(site.allocator);
  const std::uint64_t key = std::uint64_t{site.call} << 32 | std::uint64_t{site.thread} << 4 | allocator;
  std::uint32_t& row = row_by_key_[key];
  if (row == 0) row = add_row(site.call, site.thread, allocator);
  return row;
}

std::uint32_t SliceRecorder::row_without_stack() {
  if (row_without_stack_ == 0) row_without_stack_ = add_row(0, 0, kUnknownAllocator);
  return row_without_stack_;
}

void SliceRecorder::assign_rows(const TableReading& reading, bool force) {
  const std::size_t sites = std::max(reading.live.size(), reading.totals.size());
  row_of_site_.resize(std::max(row_of_site_.size(), sites));
  bool fresh = false;
  for (std::uint32_t site = 0; site < sites; ++site) {
    if (row_of_site_[site] != 0) continue;
    const bool counted = site < reading.totals.size() && reading.totals[site].samples != 0;
    const bool lives = site < reading.live.size() && reading.live[site].count != 0;
    if (!counted && !lives) continue;
    if (site == 0) {
      row_of_site_[site] = row_without_stack();
      continue;
    }
    if (!fresh) trie_.refresh();
    fresh = true;
    if (const auto found = trie_.site(site, force)) row_of_site_[site] = row_of(*found);
  }
  if (reading.unknown.count != 0) row_without_stack();
}

std::vector<SliceRecorder::Sums> SliceRecorder::sums_by_row(const TableReading& reading) const {
  std::vector<Sums> sums(profile_.row_count());
  for (std::size_t site = 0; site < reading.totals.size(); ++site) {
    if (row_of_site_[site] == 0) continue;
    Sums& sum = sums[row_of_site_[site] - 1];
    sum.count += reading.totals[site].count;
    sum.bytes += reading.totals[site].bytes;
    sum.samples += reading.totals[site].samples;
    sum.temporary += reading.totals[site].temporary;
  }
  for (std::size_t site = 0; site < reading.live.size(); ++site) {
    if (row_of_site_[site] == 0) continue;
    LiveBlocks& live = sums[row_of_site_[site] - 1].live;
    live.count += reading.live[site].count;
    live.bytes += reading.live[site].bytes;
  }
  if (row_without_stack_ != 0) {
    LiveBlocks& live = sums[row_without_stack_ - 1].live;
    live.count += reading.unknown.count;
    live.bytes += reading.unknown.bytes;
  }
  return sums;
}

void SliceRecorder::add(const TableReading& reading, std::int64_t now_ns, std::uint64_t rss) {
  assign_rows(reading, false);
  const std::vector<Sums> now = sums_by_row(reading);
  last_.resize(now.size());
  add_slice(reading, now, now_ns, rss);
  fill_columns(now);
  fill_threads(reading);
  if (reading.all.bytes >= peak_bytes_) {
    peak_bytes_ = reading.all.bytes;
    profile_.peak_ns = now_ns;
    profile_.peak_rss = rss;
    profile_.peak = profile_.live;
  }
  profile_.live_variance = reading.variance;
  profile_.losses = {reading.lost.no_room, reading.lost.odd_address, reading.lost.broken_stack, reading.lost.mismatches,
                     reading.unknown_site};
  last_ = now;
  latest_ = reading;
}

void SliceRecorder::add_slice(const TableReading& reading, const std::vector<Sums>& now, std::int64_t now_ns,
                              std::uint64_t rss) {
  ProfileSlice slice;
  slice.end_ns = now_ns;
  slice.rss = rss;
  slice.live = whole(reading.all);
  slice.peak_live = reading.all.bytes;
  slice.change_begin = static_cast<std::uint32_t>(profile_.changes.size());
  for (RowIndex row = 0; row < now.size(); ++row) {
    const Sums& before = last_[row];
    const Sums& after = now[row];
    SliceChange one;
    one.row = row;
    one.count = grown(whole(after.count), whole(before.count));
    one.bytes = grown(after.bytes, before.bytes);
    one.live_count = change(whole(after.live.count), whole(before.live.count));
    one.live_bytes = change(after.live.bytes, before.live.bytes);
    if (one == SliceChange{.row = row}) continue;
    slice.allocated.count += one.count;
    slice.allocated.bytes += one.bytes;
    profile_.changes.push_back(one);
  }
  slice.change_count = static_cast<std::uint32_t>(profile_.changes.size()) - slice.change_begin;
  profile_.slices.push_back(slice);
  profile_.ended_ns = now_ns;
  const std::size_t slices = profile_.slices.size();
  if (slices > limits_.most_slices ||
      (profile_.changes.size() > limits_.most_changes && slices > std::size_t{2} * limits_.least_slices)) {
    merge_slices(profile_);
  }
}

void SliceRecorder::fill_columns(const std::vector<Sums>& now) {
  for (auto* column : {&profile_.allocated, &profile_.live, &profile_.peak}) column->resize(now.size());
  profile_.temporary.resize(now.size());
  profile_.samples.resize(now.size());
  for (std::size_t row = 0; row < now.size(); ++row) {
    profile_.allocated[row] = {whole(now[row].count), now[row].bytes};
    profile_.live[row] = whole(now[row].live);
    profile_.temporary[row] = whole(now[row].temporary);
    profile_.samples[row] = now[row].samples;
  }
}

void SliceRecorder::fill_threads(const TableReading& reading) {
  profile_.sizes = {};
  profile_.frees = 0;
  for (ProfileAllocator& allocator : profile_.allocators) allocator.allocations = allocator.bytes = 0;
  if (reading.threads.size() > profile_.threads.size()) profile_.threads.resize(reading.threads.size());
  for (std::size_t i = 0; i < reading.threads.size(); ++i) {
    const AgentThread& seen = reading.threads[i];
    ProfileThread& thread = profile_.threads[i];
    const auto name = thread_names_.find(seen.tid);
    thread = {i == 0 ? 0 : seen.tid, name == thread_names_.end() ? thread.name : name->second, seen.allocations,
              seen.bytes};
    profile_.frees += seen.frees;
    for (std::size_t j = 0; j < kProfileSizeClasses; ++j) profile_.sizes.at(j) += seen.by_size[j];
    for (std::size_t j = 0; j < kAllocators; ++j) {
      profile_.allocators[j].allocations += seen.by_allocator[j];
      profile_.allocators[j].bytes += seen.bytes_by_allocator[j];
    }
  }
}

AllocationProfile SliceRecorder::profile() const { return profile_; }

AllocationProfile SliceRecorder::finish() {
  assign_rows(latest_, true);
  const std::vector<Sums> now = sums_by_row(latest_);
  fill_columns(now);
  last_ = now;
  return profile_;
}

}  // namespace memsnap
