#pragma once

#include <string>
#include <vector>

#include "report/report.h"
#include "snapshot/analysis/call_sums.h"
#include "snapshot/analysis/profile_totals.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What every report of allocations begins with: who, how long it was tracked, what passed, and what is not exact.
std::vector<Line> profile_headline(const SnapshotHeader& header, const AllocationProfile& profile);
// One line for each thing that makes the figures less than exact.
std::vector<Line> profile_caveats(const AllocationProfile& profile);

// Seconds, period, totals, peak, errors, losses.
FactObject profile_facts(const AllocationProfile& profile);

std::string measure_name(ProfileMeasure measure);      // "allocated", "live", "peak", "temporary"
std::string measure_sentence(ProfileMeasure measure);  // what of it is shown, for people

// "cart.py:41", "cart.py" without a line, "" without a file.
std::string location_text(std::string_view file, std::uint32_t line);
// What a row is called: the function, or what stands for one.
std::string entry_name(const ProfileEntry& entry, ProfileBy by);
std::string thread_text(std::string_view name, std::uint32_t tid);  // "worker-3 (4251)"

}  // namespace memsnap
