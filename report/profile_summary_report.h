#pragma once

#include <cstddef>
#include <cstdint>

#include "report/report.h"
#include "snapshot/analysis/call_sums.h"
#include "snapshot/analysis/profile_totals.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

enum class ProfileSort : std::uint8_t { kTotal, kOwn, kCount };

struct ProfileSummaryOptions {
  ProfileBy by = ProfileBy::kFunction;
  ProfileMeasure measure = ProfileMeasure::kAllocated;
  ProfileSort sort = ProfileSort::kTotal;
  std::size_t rows = 25;   // 0: all
  double min_percent = 0;  // of all bytes
  bool hide_imports = false;
};

// Allocations by function, line, ...: memsnap.summary/1. The snapshot has a profile.
Report make_profile_summary(const Snapshot& snapshot, const ProfileSummaryOptions& options);

// Objects of the heap by where their blocks were allocated, in the same form. The snapshot has a profile, sizes and
// allocation sites.
Report make_site_summary(const Snapshot& snapshot, const ProfileSummaryOptions& options);

}  // namespace memsnap
