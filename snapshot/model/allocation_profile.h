#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "snapshot/model/string_table.h"

namespace memsnap {

using FrameIndex = std::uint32_t;
using CallIndex = std::uint32_t;  // 0: the root of the call tree, which has no frame
using RowIndex = std::uint32_t;
inline constexpr FrameIndex kNoFrame = 0xffffffff;

enum class ProfileFrameKind : std::uint8_t {
  kPython = 0,
  kNative = 1,  // a return address in native code
  kCut = 2,     // stands for frames further out that were left away
};

struct ProfileFrame {
  StringId function = 0;  // qualified name
  StringId file = 0;
  std::uint32_t line = 0;        // 0: not known
  std::uint32_t first_line = 0;  // of the function
  ProfileFrameKind kind = ProfileFrameKind::kPython;

  bool operator==(const ProfileFrame&) const = default;
};

struct ProfileThread {
  std::uint32_t tid = 0;  // 0: all threads that had no record of their own
  StringId name = 0;
  std::uint64_t allocations = 0;  // all that passed, recorded or not
  std::uint64_t bytes = 0;
};

struct ProfileAllocator {
  StringId name = 0;
  std::uint64_t allocations = 0;
  std::uint64_t bytes = 0;
};

// Blocks and bytes. Counts are whole blocks, estimated where allocations were sampled.
struct BlockTotals {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;

  bool operator==(const BlockTotals&) const = default;
};

// What changed in one row during a slice.
struct SliceChange {
  RowIndex row = 0;
  std::uint64_t count = 0;  // allocated
  std::uint64_t bytes = 0;
  std::int64_t live_count = 0;  // at its end, less what it was before
  std::int64_t live_bytes = 0;

  bool operator==(const SliceChange&) const = default;
};

// A stretch of time. It begins where the one before ends, the first when recording began.
struct ProfileSlice {
  std::int64_t end_ns = 0;      // since the epoch
  std::uint64_t rss = 0;        // at its end; 0: not known
  std::uint64_t peak_live = 0;  // the most live bytes that a reading of the tables in it found
  BlockTotals live;             // at its end
  BlockTotals allocated;        // in it
  std::uint32_t change_begin = 0;
  std::uint32_t change_count = 0;

  bool operator==(const ProfileSlice&) const = default;
};

// Why something is not in the profile.
struct ProfileLosses {
  std::uint64_t no_room = 0;
  std::uint64_t odd_address = 0;
  std::uint64_t broken_stack = 0;
  std::uint64_t mismatches = 0;
  std::uint64_t unknown_site = 0;  // live blocks whose stack the tables do not have

  bool operator==(const ProfileLosses&) const = default;
};

inline constexpr std::size_t kProfileSizeClasses = 48;  // of sizes 2^(n-1) to 2^n - 1; 0: empty

// Who allocated what while a process was tracked: columns and 32-bit indices. Every text came from the target.
struct AllocationProfile {
  std::int64_t began_ns = 0;  // since the epoch
  std::int64_t ended_ns = 0;
  std::uint64_t period = 1;  // bytes between samples on average; 1: every block was recorded
  bool native = false;       // with native frames
  StringTable strings;
  std::vector<ProfileFrame> frames;

  // The call tree, outermost calls at the root; a node's parent has a lower number.
  std::vector<CallIndex> call_parent;
  std::vector<FrameIndex> call_frame;

  // One row for each stack, thread and allocator.
  std::vector<CallIndex> row_call;  // the innermost call; 0: without a stack
  std::vector<std::uint32_t> row_thread;
  std::vector<std::uint8_t> row_allocator;
  std::vector<BlockTotals> allocated;
  std::vector<BlockTotals> live;         // when recording ended
  std::vector<BlockTotals> peak;         // when there were most live bytes, as far as the tables were read then
  std::vector<std::uint64_t> temporary;  // freed before the next allocation of the same thread: blocks
  std::vector<std::uint64_t> samples;    // blocks that were recorded

  std::vector<ProfileThread> threads;
  std::vector<ProfileAllocator> allocators;
  std::array<std::uint64_t, kProfileSizeClasses> sizes{};  // all that passed
  std::uint64_t frees = 0;

  std::int64_t peak_ns = 0;
  std::uint64_t peak_rss = 0;
  double live_variance = 0;  // of the estimate of live bytes at the end
  std::vector<ProfileSlice> slices;
  std::vector<SliceChange> changes;
  ProfileLosses losses;

  std::size_t row_count() const { return row_call.size(); }
  std::size_t call_count() const { return call_parent.size(); }
  std::span<const SliceChange> changes_of(const ProfileSlice& slice) const {
    return std::span(changes).subspan(slice.change_begin, slice.change_count);
  }
  double seconds() const { return static_cast<double>(ended_ns - began_ns) * 1e-9; }
  bool sampled() const { return period > 1; }
};

BlockTotals sum_of(std::span<const BlockTotals> column);
BlockTotals passed_in_all(const AllocationProfile& profile);  // every allocation, recorded or not

// Half the width of an interval that holds the true number of bytes 95 times in 100, because of sampling; 0: exact.
double allocated_error(const AllocationProfile& profile);
double live_error(const AllocationProfile& profile);

// Every index fits its column and every column its neighbours: what a writer asserts and a reader must make sure of.
bool is_consistent(const AllocationProfile& profile);

}  // namespace memsnap
