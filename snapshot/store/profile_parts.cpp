#include "snapshot/store/profile_parts.h"

#include <bit>
#include <limits>
#include <utility>

#include "snapshot/store/parts.h"
#include "snapshot/store/text_list.h"
#include "snapshot/store/value_stream.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kMostAllocators = 256;
constexpr std::size_t kFrameValues = 5;
constexpr std::size_t kCallValues = 2;
constexpr std::size_t kSliceValues = 8;
constexpr std::size_t kChangeValues = 5;

std::uint64_t step(std::uint64_t value, std::uint64_t from) { return zigzag(static_cast<std::int64_t>(value - from)); }
std::uint64_t moved(std::uint64_t from, std::uint64_t by) { return from + static_cast<std::uint64_t>(unzigzag(by)); }

// A column by differences from the entry before.
class Steps {
 public:
  std::uint64_t put(std::uint64_t value) { return step(value, std::exchange(last_, value)); }
  std::uint64_t get(std::uint64_t by) { return last_ = moved(last_, by); }

 private:
  std::uint64_t last_ = 0;
};

class ProfileWriter {
 public:
  ProfileWriter(ContainerWriter& out, const AllocationProfile& profile) : out_(out), profile_(profile) {}

  void write_facts(bool required) {
    ValueWriter values(out_, kPartIdProfile, required ? kPartRequired : 0);
    values.put(static_cast<std::uint64_t>(profile_.began_ns));
    values.put(static_cast<std::uint64_t>(profile_.ended_ns));
    values.put(profile_.period);
    values.put(profile_.native ? 1 : 0);
    values.put(profile_.frees);
    values.put(static_cast<std::uint64_t>(profile_.peak_ns));
    values.put(profile_.peak_rss);
    values.put(std::bit_cast<std::uint64_t>(profile_.live_variance));
    const ProfileLosses& losses = profile_.losses;
    for (const std::uint64_t lost :
         {losses.no_room, losses.odd_address, losses.broken_stack, losses.mismatches, losses.unknown_site}) {
      values.put(lost);
    }
    for (const std::uint64_t count : profile_.sizes) values.put(count);
    values.put(profile_.threads.size());
    for (const ProfileThread& thread : profile_.threads) {
      values.put(thread.tid);
      values.put(thread.name);
      values.put(thread.allocations);
      values.put(thread.bytes);
    }
    values.put(profile_.allocators.size());
    for (const ProfileAllocator& allocator : profile_.allocators) {
      values.put(allocator.name);
      values.put(allocator.allocations);
      values.put(allocator.bytes);
    }
    values.finish();
  }

  void write_calls() {
    ValueWriter frames(out_, kPartIdProfileFrames);
    Steps file;
    for (const ProfileFrame& frame : profile_.frames) {
      frames.put(frame.function);
      frames.put(file.put(frame.file));
      frames.put(frame.first_line);
      frames.put(step(frame.line, frame.first_line));
      frames.put(static_cast<std::uint64_t>(frame.kind));
    }
    frames.finish();
    ValueWriter calls(out_, kPartIdProfileCalls);
    Steps frame;
    for (std::size_t call = 1; call < profile_.call_count(); ++call) {
      calls.put(call - profile_.call_parent[call]);
      calls.put(frame.put(profile_.call_frame[call]));
    }
    calls.finish();
  }

  void write_rows() {
    ValueWriter values(out_, kPartIdProfileRows);
    Steps call;
    for (const CallIndex row : profile_.row_call) values.put(call.put(row));
    Steps thread;
    for (const std::uint32_t row : profile_.row_thread) values.put(thread.put(row));
    for (const std::uint8_t row : profile_.row_allocator) values.put(row);
    for (const auto* column : {&profile_.allocated, &profile_.live, &profile_.peak}) {
      for (const BlockTotals& row : *column) values.put(row.count);
      for (const BlockTotals& row : *column) values.put(row.bytes);
    }
    for (const std::uint64_t row : profile_.temporary) values.put(row);
    for (std::size_t row = 0; row < profile_.row_count(); ++row) {
      values.put(step(profile_.samples[row], profile_.allocated[row].count));
    }
    values.finish();
  }

  void write_slices() {
    ValueWriter slices(out_, kPartIdProfileSlices);
    Steps end, rss, live_count, live_bytes;
    for (const ProfileSlice& slice : profile_.slices) {
      slices.put(end.put(static_cast<std::uint64_t>(slice.end_ns)));
      slices.put(rss.put(slice.rss));
      slices.put(live_count.put(slice.live.count));
      slices.put(live_bytes.put(slice.live.bytes));
      slices.put(step(slice.peak_live, slice.live.bytes));
      slices.put(slice.allocated.count);
      slices.put(slice.allocated.bytes);
      slices.put(slice.change_count);
    }
    slices.finish();
    ValueWriter changes(out_, kPartIdProfileChanges);
    Steps row;
    for (const SliceChange& change : profile_.changes) changes.put(row.put(change.row));
    for (const SliceChange& change : profile_.changes) changes.put(change.count);
    for (const SliceChange& change : profile_.changes) changes.put(change.bytes);
    for (const SliceChange& change : profile_.changes) changes.put(zigzag(change.live_count));
    for (const SliceChange& change : profile_.changes) changes.put(zigzag(change.live_bytes));
    changes.finish();
  }

 private:
  ContainerWriter& out_;
  const AllocationProfile& profile_;
};

class ProfileReader {
 public:
  explicit ProfileReader(ContainerReader& in) : in_(in) {}

  AllocationProfile read() {
    profile_.strings = read_text_list(in_, kPartIdProfileTexts);
    read_facts();
    read_frames();
    read_calls();
    read_rows();
    read_slices();
    read_changes();
    if (!is_consistent(profile_)) in_.throw_damaged(kPartIdProfile);
    return std::move(profile_);
  }

 private:
  const PartEntry& part(std::uint32_t id, std::size_t values_each) {
    const PartEntry* const found = in_.find(id);
    if (found == nullptr) in_.throw_damaged("part \"" + part_name(id) + "\" is missing");
    if (found->items % values_each != 0 || found->items / values_each >= kMost32) in_.throw_damaged(id);
    return *found;
  }

  void read_facts() {
    ValueReader values(in_, part(kPartIdProfile, 1));
    profile_.began_ns = static_cast<std::int64_t>(values.get());
    profile_.ended_ns = static_cast<std::int64_t>(values.get());
    profile_.period = values.get();
    profile_.native = values.get_up_to(1) != 0;
    profile_.frees = values.get();
    profile_.peak_ns = static_cast<std::int64_t>(values.get());
    profile_.peak_rss = values.get();
    profile_.live_variance = std::bit_cast<double>(values.get());
    ProfileLosses& losses = profile_.losses;
    for (std::uint64_t* lost :
         {&losses.no_room, &losses.odd_address, &losses.broken_stack, &losses.mismatches, &losses.unknown_site}) {
      *lost = values.get();
    }
    for (std::uint64_t& count : profile_.sizes) count = values.get();
    const std::uint64_t threads = values.get_up_to(values.items());
    for (std::uint64_t i = 0; i < threads; ++i) {
      ProfileThread& thread = profile_.threads.emplace_back();
      thread.tid = get32(values);
      thread.name = get32(values);
      thread.allocations = values.get();
      thread.bytes = values.get();
    }
    const std::uint64_t allocators = values.get_up_to(kMostAllocators);
    for (std::uint64_t i = 0; i < allocators; ++i) {
      ProfileAllocator& allocator = profile_.allocators.emplace_back();
      allocator.name = get32(values);
      allocator.allocations = values.get();
      allocator.bytes = values.get();
    }
    values.finish();
  }

  void read_frames() {
    ValueReader values(in_, part(kPartIdProfileFrames, kFrameValues));
    Steps file;
    for (std::uint64_t i = 0; i < values.items() / kFrameValues; ++i) {
      ProfileFrame& frame = profile_.frames.emplace_back();
      frame.function = get32(values);
      frame.file = in_32(values, file.get(values.get()));
      frame.first_line = get32(values);
      frame.line = in_32(values, moved(frame.first_line, values.get()));
      frame.kind = static_cast<ProfileFrameKind>(values.get_up_to(static_cast<std::uint64_t>(ProfileFrameKind::kCut)));
    }
    values.finish();
  }

  void read_calls() {
    ValueReader values(in_, part(kPartIdProfileCalls, kCallValues));
    profile_.call_parent.push_back(0);
    profile_.call_frame.push_back(kNoFrame);
    Steps frame;
    for (std::uint64_t call = 1; call <= values.items() / kCallValues; ++call) {
      profile_.call_parent.push_back(static_cast<CallIndex>(call - values.get_up_to(call)));
      profile_.call_frame.push_back(in_32(values, frame.get(values.get())));
    }
    values.finish();
  }

  void read_rows() {
    ValueReader values(in_, part(kPartIdProfileRows, kProfileRowValues));
    const std::size_t rows = values.items() / kProfileRowValues;
    Steps call;
    for (std::size_t i = 0; i < rows; ++i) profile_.row_call.push_back(in_32(values, call.get(values.get())));
    Steps thread;
    for (std::size_t i = 0; i < rows; ++i) profile_.row_thread.push_back(in_32(values, thread.get(values.get())));
    for (std::size_t i = 0; i < rows; ++i) {
      profile_.row_allocator.push_back(static_cast<std::uint8_t>(values.get_up_to(kMostAllocators - 1)));
    }
    for (auto* column : {&profile_.allocated, &profile_.live, &profile_.peak}) {
      for (std::size_t i = 0; i < rows; ++i) column->push_back({values.get(), 0});
      for (BlockTotals& row : *column) row.bytes = values.get();
    }
    for (std::size_t i = 0; i < rows; ++i) profile_.temporary.push_back(values.get());
    for (std::size_t i = 0; i < rows; ++i) {
      profile_.samples.push_back(moved(profile_.allocated[i].count, values.get()));
    }
    values.finish();
  }

  void read_slices() {
    ValueReader values(in_, part(kPartIdProfileSlices, kSliceValues));
    Steps end, rss, live_count, live_bytes;
    std::uint64_t changes = 0;
    for (std::uint64_t i = 0; i < values.items() / kSliceValues; ++i) {
      ProfileSlice& slice = profile_.slices.emplace_back();
      slice.end_ns = static_cast<std::int64_t>(end.get(values.get()));
      slice.rss = rss.get(values.get());
      slice.live.count = live_count.get(values.get());
      slice.live.bytes = live_bytes.get(values.get());
      slice.peak_live = moved(slice.live.bytes, values.get());
      slice.allocated.count = values.get();
      slice.allocated.bytes = values.get();
      slice.change_begin = static_cast<std::uint32_t>(changes);
      slice.change_count = get32(values);
      changes += slice.change_count;
      if (changes > kMost32) values.throw_damaged();
    }
    values.finish();
  }

  void read_changes() {
    ValueReader values(in_, part(kPartIdProfileChanges, kChangeValues));
    Steps row;
    for (std::uint64_t i = 0; i < values.items() / kChangeValues; ++i) {
      profile_.changes.push_back({.row = in_32(values, row.get(values.get()))});
    }
    for (SliceChange& change : profile_.changes) change.count = values.get();
    for (SliceChange& change : profile_.changes) change.bytes = values.get();
    for (SliceChange& change : profile_.changes) change.live_count = unzigzag(values.get());
    for (SliceChange& change : profile_.changes) change.live_bytes = unzigzag(values.get());
    values.finish();
  }

  static std::uint32_t get32(ValueReader& values) { return static_cast<std::uint32_t>(values.get_up_to(kMost32)); }
  static std::uint32_t in_32(const ValueReader& values, std::uint64_t value) {
    if (value > kMost32) values.throw_damaged();
    return static_cast<std::uint32_t>(value);
  }

  ContainerReader& in_;
  AllocationProfile profile_;
};

}  // namespace

void write_profile(ContainerWriter& out, const AllocationProfile& profile, bool required) {
  ProfileWriter writer(out, profile);
  writer.write_facts(required);
  write_text_list(out, kPartIdProfileTexts, profile.strings);
  writer.write_calls();
  writer.write_rows();
  writer.write_slices();
}

AllocationProfile read_profile(ContainerReader& in) { return ProfileReader(in).read(); }

}  // namespace memsnap
