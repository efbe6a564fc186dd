#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "snapshot/model/allocation_profile.h"

namespace memsnap {

// What of a profile's rows is added up.
enum class ProfileMeasure : std::uint8_t {
  kAllocated,  // since tracking began
  kLive,       // at its end
  kPeak,       // when most bytes were live
  kTemporary,  // freed before the next allocation of the same thread; bytes by the row's mean size
};

// One entry for each row.
std::vector<BlockTotals> column_of(const AllocationProfile& profile, ProfileMeasure measure);

// The import system's own frames, of which every first import puts a dozen between two of the program's.
bool is_import_frame(const AllocationProfile& profile, FrameIndex frame);

// The call tree with sums, by call. A call that is hidden has none: what is below it hangs at the nearest call above.
struct CallSums {
  std::vector<CallIndex> parent;
  std::vector<BlockTotals> own;    // of blocks allocated by the call itself
  std::vector<BlockTotals> total;  // with those of the calls below
  std::vector<bool> hidden;
};
CallSums sum_calls(const AllocationProfile& profile, const std::vector<BlockTotals>& column, bool hide_imports);

// Calls below each call, in ascending order: those of `call` are [begin[call], begin[call + 1]).
struct CallChildren {
  std::vector<std::uint32_t> begin;
  std::vector<CallIndex> child;
};
CallChildren children_of(const std::vector<CallIndex>& parent);

}  // namespace memsnap
