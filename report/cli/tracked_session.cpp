#include "report/cli/tracked_session.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/types.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "inject/control/left_tracking.h"
#include "report/cli/option_values.h"
#include "report/cli/processes.h"
#include "report/cli/session_files.h"
#include "report/tracking_report.h"
#include "snapshot/analysis/diff.h"
#include "snapshot/session/target_info.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {

namespace fs = std::filesystem;

TrackedSession::TrackedSession(const Invocation& invocation, const Capturer& capturer, const Candidate& target,
                               SessionPlan plan)
    : invocation_(invocation), capturer_(capturer), target_(target), plan_(std::move(plan)) {
  if (!plan_.follow_forks) return;
  own_budget_ = std::make_unique<ChildBudget>(plan_.most_children);
  budget_ = own_budget_.get();
}

TrackedSession::TrackedSession(const TrackedSession& parent, const Candidate& target, SessionPlan plan)
    : invocation_(parent.invocation_),
      capturer_(parent.capturer_),
      target_(target),
      plan_(std::move(plan)),
      budget_(parent.budget_) {
  header_.target = read_target_info(target.pid);
  header_.target.python = parent.header_.target.python;
  header_.target.python_hex = parent.header_.target.python_hex;
  header_.kind = SnapshotKind::kAllocations;
  header_.tool_version = parent.header_.tool_version;
  header_.taken_at_ns = parent.header_.taken_at_ns;
}

ExitCode TrackedSession::run(TrackingRequest request, Capture before) {
  header_ = before.result.snapshot.header;
  first_ = std::move(before.result);
  first_saved_ = before.file.has_value();
  forget_first();
  TrackingResult tracked = track(request);
  recall_first();
  TrackingFindings findings = findings_of(tracked);
  complete(tracked);
  if (!plan_.path.empty()) findings.first_file = save(findings);
  findings.profile = &*last_->snapshot.profile;
  invocation_.output.write_one(make_tracking(findings));
  return verdict(findings.left_behind, invocation_.log);
}

ExitCode TrackedSession::run_child(TrackingRequest request) {
  TrackingResult tracked = track(request);
  TrackingFindings findings = findings_of(tracked);
  complete(tracked);
  if (!plan_.path.empty()) capturer_.keep(std::move(*last_), plan_.path, true);
  return verdict(findings.left_behind, invocation_.log);
}

TrackingResult TrackedSession::track(TrackingRequest& request) {
  request.pid = target_.pid;
  request.start_time = target_.start_time;
  requests_ = std::make_unique<SnapshotRequests>(plan_.in_front);
  limits_ = std::make_unique<TrackingLimits>(target_.pid, plan_.most_overhead, plan_.most_bytes, plan_.path);
  if (plan_.live) screens_ = std::make_unique<LiveScreens>(invocation_, target_.pid, false);
  request.on_start = [this, &request](const TrackingStart& start) { begin(request, start); };
  request.on_slice = [this, &request](Milliseconds run_for, const SliceRecorder& recorder) {
    show_slice(request, run_for, recorder);
  };
  request.on_poll = [this] {
    if (follower_) follower_->poll();
  };
  request.limit_reached = [this](const TableReading& reading, const SliceRecorder& recorder) {
    return limits_->reached(reading, recorder);
  };
  request.wants_snapshot = [this] { return requests_->asked(); };
  request.on_demand = [this](const TableReader& tables, SliceRecorder& recorder) { look_on_demand(tables, recorder); };
  request.before_end = [this](const TableReader& tables, SliceRecorder& recorder) { look_again(tables, recorder); };
  request.before_unload = [this] {
    if (follower_) follower_->end();
  };
  TrackingResult result = track_allocations(request, invocation_.log);
  requests_.reset();
  return result;
}

void TrackedSession::begin(const TrackingRequest& request, const TrackingStart& start) {
  if (budget_ != nullptr) {
    const AgentPlace place = start.place;
    follower_ = std::make_unique<ForkFollower>(
        start.target, place, request.limits, *budget_,
        [this, &request, place](pid_t child) { return follow(request, place, child); }, invocation_.log);
  }
  if (plan_.forked_from == 0) tell_start(request);
  if (plan_.started) plan_.started();
}

// From the fork to the end of a memsnap that tracks a child. A child that has ended, or runs another program, is no
// failure.
int TrackedSession::follow(const TrackingRequest& request, const AgentPlace& place, pid_t child) const {
  StderrLog& log = invocation_.log;
  LogOptions options = log.options();
  options.terminal = false;
  options.names_pid = true;
  log.change(options);
  log.set_pid(child);
  try {
    if (!end_inherited(ProcessId::open(child), place, request.limits, log)) {
      budget_->give_back();
      return 0;
    }
    SessionPlan plan = plan_;
    if (!plan_.path.empty()) plan.path = path_of_child(plan_.group_path, child);
    plan.in_front = plan.live = false;
    plan.forked_from = target_.pid;
    plan.started = nullptr;
    TrackingRequest mine = request;
    mine.duration = Milliseconds(0);  // as long as this memsnap
    return static_cast<int>(TrackedSession(*this, candidate_of(child), std::move(plan)).run_child(std::move(mine)));
  } catch (const Error& error) {
    if (error.code() == ExitCode::kNoSuchProcess || error.code() == ExitCode::kUnsupported) {
      budget_->give_back();
      return 0;
    }
    log.warning("child_not_tracked", fmt::format("it could not be tracked: {}", error.what()));
    return static_cast<int>(error.code());
  }
}

void TrackedSession::tell_start(const TrackingRequest& request) const {
  if (!plan_.in_front) return invocation_.log.notice("tracking", "tracking allocations");
  const std::string how = requests_->has_keys() ? "Ctrl-C ends it, s takes a snapshot" : "Ctrl-C ends it";
  const std::string how_long =
      request.duration.count() == 0
          ? fmt::format("until it ends ({})", how)
          : fmt::format("for {:g} s ({})", static_cast<double>(request.duration.count()) / 1000, how);
  invocation_.log.notice("tracking", "tracking allocations " + how_long);
}

void TrackedSession::show_slice(const TrackingRequest& request, Milliseconds run_for, const SliceRecorder& recorder) {
  if (screens_) return screens_->show(recorder);
  invocation_.log.progress("tracking", static_cast<unsigned long long>(run_for.count() / 1000),
                           static_cast<unsigned long long>(request.duration.count() / 1000));
}

void TrackedSession::look_again(const TableReader& tables, SliceRecorder& recorder) {
  if (follower_) follower_->ask_to_end();
  try {
    last_ = capturer_.look_at_tracked(target_, tables, recorder);
    left_behind_.insert(left_behind_.end(), last_->left_behind.begin(), last_->left_behind.end());
  } catch (const Error& error) {
    if (error.code() == ExitCode::kTargetHarmed) throw;
    if (error.code() == ExitCode::kNoSuchProcess && plan_.forked_from != 0) return;
    invocation_.log.warning("no_last_snapshot", fmt::format("there is no last snapshot: {}", error.what()));
  }
}

void TrackedSession::look_on_demand(const TableReader& tables, SliceRecorder& recorder) {
  if (plan_.path.empty()) return invocation_.log.notice("no_snapshot", "no snapshot is taken: nothing is to be saved");
  try {
    const bool replace = option_flag(invocation_.options, "force");
    const std::string path = path_on_demand(plan_.path, on_demand_, replace);
    const Capture taken = capturer_.keep(capturer_.look_at_tracked(target_, tables, recorder), path, true);
    ++on_demand_;
    on_demand_files_.push_back(path);
    left_behind_.insert(left_behind_.end(), taken.result.left_behind.begin(), taken.result.left_behind.end());
    invocation_.log.notice("snapshot_taken", fmt::format("saved {}, stopped for {:.1f} ms; tracking goes on", path,
                                                         taken.result.snapshot.header.pause_ms));
  } catch (const Error& error) {
    if (error.code() == ExitCode::kTargetHarmed) throw;
    invocation_.log.warning("no_snapshot", fmt::format("no snapshot was taken: {}", error.what()));
  }
}

// Tracking may go on for days, and the snapshot is in its file.
void TrackedSession::forget_first() {
  if (!first_saved_) return;
  first_.reset();
  ::malloc_trim(0);
}

// The types are enough to compare with; all of it is wanted where it is the only snapshot.
void TrackedSession::recall_first() {
  if (first_) return;
  try {
    first_ = SnapshotResult{load_snapshot(plan_.path, last_ ? kPartTypes : kPartsAll), {}};
  } catch (const Error& error) {
    invocation_.log.warning("no_first_snapshot", fmt::format("nothing to compare with: {}", error.what()));
  }
}

TrackingFindings TrackedSession::findings_of(TrackingResult& tracked) {
  TrackingFindings findings{.header = header_, .profile = nullptr};
  findings.load_ms = tracked.load_ms;
  findings.unload_ms = tracked.unload_ms;
  findings.hooks_undone = tracked.hooks_undone;
  findings.target_ended = tracked.target_ended;
  findings.left_behind = tracked.left_behind;
  findings.left_behind.insert(findings.left_behind.end(), left_behind_.begin(), left_behind_.end());
  findings.warnings = tracked.warnings;
  findings.end_reason = tracked.end_reason;
  findings.overhead = limits_->overhead();
  findings.group = plan_.group;
  findings.snapshots = on_demand_files_;
  if (last_ && first_) findings.types = diff_types(first_->snapshot.graph, last_->snapshot.graph);
  if (follower_) add_children(findings);
  return findings;
}

void TrackedSession::add_children(TrackingFindings& findings) const {
  for (const ForkFollower::Child& child : follower_->ended()) {
    const std::string file = plan_.path.empty() ? "" : path_of_child(plan_.group_path, child.pid);
    std::error_code ignored;
    const bool saved = !file.empty() && fs::exists(file, ignored);
    if (saved || child.status != 0) findings.children.push_back({child.pid, child.status, saved ? file : ""});
    if (child.status == static_cast<int>(ExitCode::kLeftBehind))
      findings.left_behind.push_back(fmt::format("in the child {}: its capture says what", child.pid));
  }
}

// What is to be saved, with all that is known of how it came to be.
void TrackedSession::complete(TrackingResult& tracked) {
  if (!last_ && first_) last_ = std::move(first_);  // the process ended before there was another one
  if (!last_) {
    last_ = SnapshotResult();
    last_->snapshot.header = header_;
    last_->snapshot.header.kind = SnapshotKind::kAllocations;
  }
  first_.reset();
  Snapshot& snapshot = last_->snapshot;
  snapshot.profile = std::move(tracked.profile);
  capturer_.hide_texts(snapshot);
  SnapshotHeader& header = snapshot.header;
  header.target_ended = header.target_ended || tracked.target_ended;
  header.tracking = {.end = tracked.end_reason,
                     .group = plan_.group,
                     .forked_from = plan_.forked_from,
                     .overhead = limits_->overhead(),
                     .left_behind = tracked.left_behind};
  header.warnings.insert(header.warnings.end(), tracked.warnings.begin(), tracked.warnings.end());
  if (const std::string taken = limits_->fit(snapshot); !taken.empty()) {
    invocation_.log.warning("max_file", taken);
    header.warnings.push_back(taken);
  }
}

// Returns where the first snapshot is now.
std::string TrackedSession::save(TrackingFindings& findings) {
  const std::string first = path_of_first(plan_.path);
  std::error_code failed;
  fs::rename(plan_.path, first, failed);
  Capture kept = capturer_.keep(std::move(*last_), plan_.path, true);
  findings.file = kept.file;
  last_ = std::move(kept.result);
  return failed ? "" : first;
}

}  // namespace memsnap
