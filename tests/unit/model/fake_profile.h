#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "snapshot/model/allocation_profile.h"

namespace memsnap {

// Puts a profile together stack by stack.
class FakeProfile {
 public:
  FakeProfile() {
    profile.call_parent = {0};
    profile.call_frame = {kNoFrame};
    profile.began_ns = 1'795'000'000'000'000'000;
    profile.ended_ns = profile.began_ns;
    for (const char* name : {"malloc", "calloc", "mmap"})
      profile.allocators.push_back({profile.strings.add(name), 0, 0});
    thread(0, "");
  }

  std::uint32_t thread(std::uint32_t tid, std::string_view name) {
    profile.threads.push_back({tid, profile.strings.add(name), 0, 0});
    return static_cast<std::uint32_t>(profile.threads.size() - 1);
  }
  FrameIndex frame(std::string_view function, std::string_view file, std::uint32_t line, std::uint32_t first_line = 1) {
    const ProfileFrame made{profile.strings.add(function), profile.strings.add(file), line, first_line,
                            ProfileFrameKind::kPython};
    for (FrameIndex i = 0; i < profile.frames.size(); ++i) {
      if (profile.frames[i] == made) return i;
    }
    profile.frames.push_back(made);
    return static_cast<FrameIndex>(profile.frames.size() - 1);
  }
  // The outermost first.
  CallIndex stack(const std::vector<FrameIndex>& frames) {
    CallIndex at = 0;
    for (const FrameIndex frame : frames) at = child(at, frame);
    return at;
  }
  RowIndex row(CallIndex call, BlockTotals allocated, BlockTotals live = {}, BlockTotals peak = {},
               std::uint64_t temporary = 0, std::uint32_t thread = 0, std::uint8_t allocator = 0) {
    profile.row_call.push_back(call);
    profile.row_thread.push_back(thread);
    profile.row_allocator.push_back(allocator);
    profile.allocated.push_back(allocated);
    profile.live.push_back(live);
    profile.peak.push_back(peak);
    profile.temporary.push_back(temporary);
    profile.samples.push_back(allocated.count);
    profile.threads[thread].allocations += allocated.count;
    profile.threads[thread].bytes += allocated.bytes;
    profile.allocators[allocator].allocations += allocated.count;
    profile.allocators[allocator].bytes += allocated.bytes;
    return static_cast<RowIndex>(profile.row_count() - 1);
  }
  void slice(std::int64_t seconds, std::uint64_t rss, const std::vector<SliceChange>& changes) {
    ProfileSlice made;
    if (!profile.slices.empty()) made.live = profile.slices.back().live;
    made.end_ns = profile.ended_ns += seconds * 1'000'000'000;
    made.rss = rss;
    made.change_begin = static_cast<std::uint32_t>(profile.changes.size());
    made.change_count = static_cast<std::uint32_t>(changes.size());
    for (const SliceChange& change : changes) {
      made.allocated.count += change.count;
      made.allocated.bytes += change.bytes;
      made.live.count += static_cast<std::uint64_t>(change.live_count);
      made.live.bytes += static_cast<std::uint64_t>(change.live_bytes);
      profile.changes.push_back(change);
    }
    made.peak_live = made.live.bytes;
    profile.slices.push_back(made);
  }

  AllocationProfile profile;

 private:
  CallIndex child(CallIndex parent, FrameIndex frame) {
    for (CallIndex i = 1; i < profile.call_count(); ++i) {
      if (profile.call_parent[i] == parent && profile.call_frame[i] == frame) return i;
    }
    profile.call_parent.push_back(parent);
    profile.call_frame.push_back(frame);
    return static_cast<CallIndex>(profile.call_count() - 1);
  }
};

inline AllocationProfile random_profile(std::uint32_t seed, std::uint32_t rows) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  const auto some = [&] { return random() >> below(64); };
  FakeProfile made;
  for (int i = 0; i < 3; ++i)
    made.thread(static_cast<std::uint32_t>(below(1u << 22)), "thread \xff" + std::to_string(i));
  for (std::uint32_t i = 0; i < rows; ++i) {
    std::vector<FrameIndex> frames;
    for (auto depth = below(6); depth > 0; --depth) {
      const std::string name = std::to_string(below(20));
      frames.push_back(made.frame("function\n" + name, "file" + name, static_cast<std::uint32_t>(below(50)), 3));
    }
    const BlockTotals allocated{some() / 8, some() / 8};
    const RowIndex row = made.row(made.stack(frames), allocated, {some(), some()}, {some(), some()}, some(),
                                  static_cast<std::uint32_t>(below(4)), static_cast<std::uint8_t>(below(3)));
    made.profile.samples[row] = some();
  }
  for (auto slices = below(20); slices > 0; --slices) {
    std::vector<SliceChange> changes;
    for (RowIndex row = 0; row < rows; ++row) {
      if (below(3) == 0) {
        changes.push_back(
            {row, some(), some(), static_cast<std::int64_t>(some()), -static_cast<std::int64_t>(some() / 2)});
      }
    }
    made.slice(static_cast<std::int64_t>(below(100)), some(), changes);
    made.profile.slices.back().peak_live = some();
  }
  made.profile.period = 1 + some();
  made.profile.native = below(2) != 0;
  made.profile.frees = some();
  made.profile.peak_ns = static_cast<std::int64_t>(some());
  made.profile.peak_rss = some();
  made.profile.live_variance = 0.1 * static_cast<double>(below(1000));
  for (std::uint64_t& count : made.profile.sizes) count = some();
  made.profile.losses = {some(), some(), some(), some(), some()};
  for (ProfileFrame& frame : made.profile.frames) frame.kind = static_cast<ProfileFrameKind>(below(3));
  return std::move(made.profile);
}

inline bool same_profile(const AllocationProfile& a, const AllocationProfile& b) {
  const auto same_thread = [](const ProfileThread& x, const ProfileThread& y) {
    return x.tid == y.tid && x.name == y.name && x.allocations == y.allocations && x.bytes == y.bytes;
  };
  const auto same_allocator = [](const ProfileAllocator& x, const ProfileAllocator& y) {
    return x.name == y.name && x.allocations == y.allocations && x.bytes == y.bytes;
  };
  return a.began_ns == b.began_ns && a.ended_ns == b.ended_ns && a.period == b.period && a.native == b.native &&
         a.strings.buffer() == b.strings.buffer() && a.strings.begin() == b.strings.begin() && a.frames == b.frames &&
         a.call_parent == b.call_parent && a.call_frame == b.call_frame && a.row_call == b.row_call &&
         a.row_thread == b.row_thread && a.row_allocator == b.row_allocator && a.allocated == b.allocated &&
         a.live == b.live && a.peak == b.peak && a.temporary == b.temporary && a.samples == b.samples &&
         std::equal(a.threads.begin(), a.threads.end(), b.threads.begin(), b.threads.end(), same_thread) &&
         std::equal(a.allocators.begin(), a.allocators.end(), b.allocators.begin(), b.allocators.end(),
                    same_allocator) &&
         a.sizes == b.sizes && a.frees == b.frees && a.peak_ns == b.peak_ns && a.peak_rss == b.peak_rss &&
         a.live_variance == b.live_variance && a.slices == b.slices && a.changes == b.changes && a.losses == b.losses;
}

}  // namespace memsnap
