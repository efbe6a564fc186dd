#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/report.h"
#include "report/snapshot_facts.h"
#include "snapshot/model/allocation_profile.h"
#include "snapshot/model/snapshot_diff.h"

namespace memsnap {

// How a process was tracked, for the end of `memsnap attach`.
struct TrackingFindings {
  const SnapshotHeader& header;      // of the process
  const AllocationProfile* profile;  // nullptr: it could not be tracked
  std::string refusal{};             // why
  std::vector<Change> types{};       // from the first snapshot to the last; empty: there is no last one
  double load_ms = 0;
  double unload_ms = 0;
  bool target_ended = false;
  std::vector<std::string> left_behind{};
  std::vector<std::string> warnings{};
  std::optional<SavedFile> file{};
  std::string first_file{};  // the first snapshot; empty: not saved
};

// memsnap.capture/1: what grew while it was tracked, and who allocated it.
Report make_tracking(const TrackingFindings& findings);

}  // namespace memsnap
