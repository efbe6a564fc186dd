#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "report/cli/capture.h"
#include "report/cli/fork_follower.h"
#include "report/cli/live_screens.h"
#include "report/cli/snapshot_requests.h"
#include "report/cli/tracking_limits.h"
#include "report/tracking_report.h"
#include "snapshot/session/track_allocations.h"

namespace memsnap {

// What a tracking session does besides tracking.
struct SessionPlan {
  std::string path;        // of the capture; empty: nothing is saved
  std::string group_path;  // of the first capture of its group: the others are named after it
  bool in_front = true;    // not in the background: with keys, and screens
  bool live = false;
  bool follow_forks = false;
  std::uint32_t most_children = 64;
  std::optional<double> most_overhead;      // percent
  std::optional<std::uint64_t> most_bytes;  // of the file
  std::string group;                        // of a session that follows forks
  pid_t forked_from = 0;                    // of a child's: then there is no first snapshot, and no report
  std::function<void()> started;            // recording has begun
};

// The second half of `memsnap attach`: track, look again, take the agent out, save both.
class TrackedSession {
 public:
  TrackedSession(const Invocation& invocation, const Capturer& capturer, const Candidate& target, SessionPlan plan);

  // `before` is the snapshot that the session began with, saved at the plan's path. Afterwards that holds the last
  // snapshot and the profile, and the first one is beside it. Throws Error when tracking could not begin.
  ExitCode run(TrackingRequest request, Capture before);

 private:
  using Milliseconds = std::chrono::milliseconds;
  // Of a child of the process, in a memsnap of its own.
  TrackedSession(const TrackedSession& parent, const Candidate& target, SessionPlan plan);
  ExitCode run_child(TrackingRequest request);
  int follow(const TrackingRequest& request, const AgentPlace& place, pid_t child) const;

  TrackingResult track(TrackingRequest& request);
  void begin(const TrackingRequest& request, const TrackingStart& start);
  void tell_start(const TrackingRequest& request) const;
  void show_slice(const TrackingRequest& request, Milliseconds run_for, const SliceRecorder& recorder);
  void look_again(const TableReader& tables, SliceRecorder& recorder);
  void look_on_demand(const TableReader& tables, SliceRecorder& recorder);
  void forget_first();
  void recall_first();
  void complete(TrackingResult& tracked);
  TrackingFindings findings_of(TrackingResult& tracked);
  void add_children(TrackingFindings& findings) const;
  std::string save(TrackingFindings& findings);

  const Invocation& invocation_;
  const Capturer& capturer_;
  Candidate target_;
  SessionPlan plan_;
  SnapshotHeader header_;                // of the first snapshot
  std::optional<SnapshotResult> first_;  // empty while it is in its file
  std::optional<SnapshotResult> last_;
  bool first_saved_ = false;
  unsigned on_demand_ = 1;  // number of the next one
  std::vector<std::string> on_demand_files_;
  std::vector<std::string> left_behind_;  // by snapshots
  std::unique_ptr<SnapshotRequests> requests_;
  std::unique_ptr<LiveScreens> screens_;
  std::unique_ptr<ChildBudget> own_budget_;
  ChildBudget* budget_ = nullptr;
  std::unique_ptr<ForkFollower> follower_;
  std::unique_ptr<TrackingLimits> limits_;
};

}  // namespace memsnap
