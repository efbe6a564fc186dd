#include "snapshot/analysis/call_sums.h"

#include <array>
#include <cstddef>

namespace memsnap {
namespace {

void add(BlockTotals& sum, const BlockTotals& more) {
  sum.count += more.count;
  sum.bytes += more.bytes;
}

// All bytes in the measure of those blocks that were temporary.
std::uint64_t part_of(const BlockTotals& allocated, std::uint64_t count) {
  if (allocated.count == 0) return 0;
  const double share = static_cast<double>(count) / static_cast<double>(allocated.count);
  return share >= 1 ? allocated.bytes : static_cast<std::uint64_t>(share * static_cast<double>(allocated.bytes));
}

}  // namespace

std::vector<BlockTotals> column_of(const AllocationProfile& profile, ProfileMeasure measure) {
  switch (measure) {
    case ProfileMeasure::kLive:
      return profile.live;
    case ProfileMeasure::kPeak:
      return profile.peak;
    case ProfileMeasure::kAllocated:
      return profile.allocated;
    case ProfileMeasure::kTemporary:
      break;
  }
  std::vector<BlockTotals> column;
  column.reserve(profile.row_count());
  for (std::size_t row = 0; row < profile.row_count(); ++row) {
    const std::uint64_t count = profile.temporary[row];
    column.push_back({count, part_of(profile.allocated[row], count)});
  }
  return column;
}

bool is_import_frame(const AllocationProfile& profile, FrameIndex frame) {
  if (profile.frames[frame].kind != ProfileFrameKind::kPython) return false;
  const std::string_view file = profile.strings.text(profile.frames[frame].file);
  constexpr std::array<std::string_view, 3> kEnds{"/importlib/__init__.py", "/importlib/_bootstrap.py",
                                                  "/importlib/_bootstrap_external.py"};
  if (file.starts_with("<frozen importlib") || file == "<frozen zipimport>") return true;
  for (const std::string_view end : kEnds) {
    if (file.ends_with(end)) return true;
  }
  return false;
}

CallSums sum_calls(const AllocationProfile& profile, const std::vector<BlockTotals>& column, bool hide_imports) {
  const std::size_t calls = profile.call_count();
  CallSums sums;
  sums.parent = profile.call_parent;
  sums.own.resize(calls);
  sums.hidden.resize(calls);
  for (std::size_t row = 0; row < profile.row_count(); ++row) add(sums.own[profile.row_call[row]], column[row]);
  if (hide_imports) {
    std::vector<bool> is_import(profile.frames.size());
    for (FrameIndex frame = 0; frame < profile.frames.size(); ++frame)
      is_import[frame] = is_import_frame(profile, frame);
    for (CallIndex call = 1; call < calls; ++call) {
      // The parent has been looked at: if it is hidden, its own parent is not.
      CallIndex& parent = sums.parent[call];
      if (sums.hidden[parent]) parent = sums.parent[parent];
      sums.hidden[call] = is_import[profile.call_frame[call]];
      if (!sums.hidden[call]) continue;
      add(sums.own[parent], sums.own[call]);
      sums.own[call] = {};
    }
  }
  sums.total = sums.own;
  for (std::size_t call = calls; call-- > 1;) {
    if (!sums.hidden[call]) add(sums.total[sums.parent[call]], sums.total[call]);
  }
  return sums;
}

CallChildren children_of(const std::vector<CallIndex>& parent) {
  CallChildren children;
  children.begin.resize(parent.size() + 1);
  for (std::size_t call = 1; call < parent.size(); ++call) ++children.begin[parent[call] + std::size_t{1}];
  for (std::size_t i = 1; i < children.begin.size(); ++i) children.begin[i] += children.begin[i - 1];
  children.child.resize(parent.empty() ? 0 : parent.size() - 1);
  std::vector<std::uint32_t> next(children.begin.begin(), children.begin.end());
  for (CallIndex call = 1; call < parent.size(); ++call) children.child[next[parent[call]]++] = call;
  return children;
}

}  // namespace memsnap
