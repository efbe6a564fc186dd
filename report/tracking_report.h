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
  std::uint32_t hooks_undone = 0;
  bool target_ended = false;
  std::vector<std::string> left_behind{};
  std::vector<std::string> warnings{};
  std::optional<SavedFile> file{};
  std::string first_file{};  // the first snapshot; empty: not saved
  std::string end_reason{};
  double overhead = -1;                  // percent of the process's own time; negative: not measured
  std::vector<std::string> snapshots{};  // taken on demand: files
  std::string group{};                   // of a session that followed forks
  struct Child {
    std::int32_t pid = 0;
    int status = 0;  // exit code of its memsnap
    std::string file;
  };
  std::vector<Child> children{};
};

// memsnap.capture/1: what grew while it was tracked, and who allocated it.
Report make_tracking(const TrackingFindings& findings);

}  // namespace memsnap
