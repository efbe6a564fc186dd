#include "snapshot/capture/fold_rows.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace memsnap {
namespace {

constexpr std::uint32_t kGone = 0xffffffff;

// Where each row goes: kept ones in their order, the others to the row behind these.
std::vector<RowIndex> new_rows(const AllocationProfile& profile, std::size_t most) {
  std::vector<RowIndex> order(profile.row_count());
  std::iota(order.begin(), order.end(), RowIndex{0});
  const auto weight = [&](RowIndex row) {
    return std::max({profile.allocated[row].bytes, profile.live[row].bytes, profile.peak[row].bytes});
  };
  std::stable_sort(order.begin(), order.end(), [&](RowIndex a, RowIndex b) { return weight(a) > weight(b); });
  std::vector<RowIndex> rows(order.size(), static_cast<RowIndex>(most));
  for (std::size_t i = 0; i < most; ++i) rows[order[i]] = 0;
  RowIndex next = 0;
  for (RowIndex& row : rows) {
    if (row == 0 && next < most) row = next++;
  }
  return rows;
}

void add(BlockTotals& to, const BlockTotals& from) {
  to.count += from.count;
  to.bytes += from.bytes;
}
void add(std::uint64_t& to, std::uint64_t from) { to += from; }

template <typename T>
void fold(std::vector<T>& column, const std::vector<RowIndex>& rows, std::size_t most) {
  std::vector<T> folded(most + 1);
  for (std::size_t row = 0; row < rows.size(); ++row) add(folded[rows[row]], column[row]);
  column = std::move(folded);
}

template <typename T>
void choose(std::vector<T>& column, const std::vector<RowIndex>& rows, std::size_t most, T last) {
  std::vector<T> chosen(most + 1, last);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (rows[row] < most) chosen[rows[row]] = column[row];
  }
  column = std::move(chosen);
}

void fold_changes(AllocationProfile& profile, const std::vector<RowIndex>& rows, std::size_t most) {
  // Unsigned sums: hostile tables may hold any numbers.
  const auto sum = [](std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  };
  std::vector<SliceChange> changes;
  for (ProfileSlice& slice : profile.slices) {
    const auto begin = static_cast<std::uint32_t>(changes.size());
    SliceChange others{.row = static_cast<RowIndex>(most)};
    for (SliceChange one : profile.changes_of(slice)) {
      if (rows[one.row] < most) {
        one.row = rows[one.row];
        changes.push_back(one);
        continue;
      }
      others.count += one.count;
      others.bytes += one.bytes;
      others.live_count = sum(others.live_count, one.live_count);
      others.live_bytes = sum(others.live_bytes, one.live_bytes);
    }
    if (others != SliceChange{.row = others.row}) changes.push_back(others);
    slice.change_begin = begin;
    slice.change_count = static_cast<std::uint32_t>(changes.size()) - begin;
  }
  profile.changes = std::move(changes);
}

// Calls that lead to a row, and the root.
void keep_needed_calls(AllocationProfile& profile) {
  std::vector<CallIndex> place(profile.call_count(), kGone);
  if (!place.empty()) place[0] = 0;
  for (CallIndex call : profile.row_call) {
    for (; place[call] == kGone; call = profile.call_parent[call]) place[call] = 0;
  }
  CallIndex kept = 0;
  for (CallIndex call = 0; call < place.size(); ++call) {
    if (place[call] == kGone) continue;
    place[call] = kept;  // a parent has a lower number, and has its place already
    profile.call_parent[kept] = place[profile.call_parent[call]];
    profile.call_frame[kept] = profile.call_frame[call];
    ++kept;
  }
  profile.call_parent.resize(kept);
  profile.call_frame.resize(kept);
  for (CallIndex& call : profile.row_call) call = place[call];
}

void keep_needed_frames(AllocationProfile& profile) {
  std::vector<ProfileFrame> frames;
  std::vector<FrameIndex> place(profile.frames.size(), kNoFrame);
  for (FrameIndex& frame : profile.call_frame) {
    if (frame == kNoFrame) continue;
    if (place[frame] == kNoFrame) {
      place[frame] = static_cast<FrameIndex>(frames.size());
      frames.push_back(profile.frames[frame]);
    }
    frame = place[frame];
  }
  profile.frames = std::move(frames);
}

void keep_needed_texts(AllocationProfile& profile) {
  StringTable texts;
  const auto keep = [&](StringId& text) { text = texts.add(profile.strings.text(text)); };
  for (ProfileFrame& frame : profile.frames) {
    keep(frame.function);
    keep(frame.file);
  }
  for (ProfileThread& thread : profile.threads) keep(thread.name);
  for (ProfileAllocator& allocator : profile.allocators) keep(allocator.name);
  profile.strings = std::move(texts);
}

}  // namespace

void fold_rows(AllocationProfile& profile, std::size_t most) {
  if (profile.row_count() <= most + 1 || profile.allocators.empty()) return;
  const std::vector<RowIndex> rows = new_rows(profile, most);
  fold_changes(profile, rows, most);
  for (auto* const column : {&profile.allocated, &profile.live, &profile.peak}) fold(*column, rows, most);
  fold(profile.temporary, rows, most);
  fold(profile.samples, rows, most);
  choose(profile.row_call, rows, most, CallIndex{0});
  choose(profile.row_thread, rows, most, std::uint32_t{0});
  choose(profile.row_allocator, rows, most, static_cast<std::uint8_t>(profile.allocators.size() - 1));
  keep_needed_calls(profile);
  keep_needed_frames(profile);
  keep_needed_texts(profile);
}

}  // namespace memsnap
