#include "report/cli/tracked_session.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "report/tracking_report.h"
#include "snapshot/analysis/diff.h"
#include "snapshot/capture/allocation_sites.h"

namespace memsnap {

namespace fs = std::filesystem;

std::string TrackedSession::path_of_first(const std::string& path) {
  const fs::path whole(path);
  return (whole.parent_path() / (whole.stem().string() + "-before" + whole.extension().string())).string();
}

ExitCode TrackedSession::run(TrackingRequest request, const Capture& before, const std::string& path) {
  request.pid = target_.pid;
  request.on_slice = [this, &request](std::chrono::milliseconds run_for, const SliceRecorder&) {
    invocation_.log.progress("tracking", static_cast<unsigned long long>(run_for.count() / 1000),
                             static_cast<unsigned long long>(request.duration.count() / 1000));
  };
  request.before_end = [this](const TableReader& tables, SliceRecorder& recorder) {
    look_again();
    if (!last_) return;
    recorder.add(tables.read(), last_->snapshot.header.taken_at_ns, last_->snapshot.header.memory.rss);
    fill_allocation_sites(last_->snapshot.graph, tables, recorder.rows_of_sites());
  };
  tell_start(request);
  TrackingResult tracked = track_allocations(request, invocation_.log);
  TrackingFindings findings{.header = before.result.snapshot.header, .profile = nullptr};
  findings.load_ms = tracked.load_ms;
  findings.unload_ms = tracked.unload_ms;
  findings.target_ended = tracked.target_ended;
  findings.left_behind = tracked.left_behind;
  findings.warnings = std::move(tracked.warnings);
  if (last_) {
    findings.types = diff_types(before.result.snapshot.graph, last_->snapshot.graph);
    findings.left_behind.insert(findings.left_behind.end(), last_->left_behind.begin(), last_->left_behind.end());
  } else {  // the process ended first: the first snapshot is the last one
    last_ = SnapshotResult{before.result.snapshot, {}};
  }
  last_->snapshot.profile = std::move(tracked.profile);
  if (!path.empty()) findings.first_file = save(path, findings);
  findings.profile = &*last_->snapshot.profile;
  write(make_tracking(findings));
  return verdict(findings.left_behind, invocation_.log);
}

void TrackedSession::tell_start(const TrackingRequest& request) const {
  const std::string how_long =
      request.duration.count() == 0
          ? std::string("until Ctrl-C")
          : fmt::format("for {:g} s (Ctrl-C ends it)", static_cast<double>(request.duration.count()) / 1000);
  invocation_.log.notice("tracking", "tracking allocations " + how_long);
}

// Not ended by the Ctrl-C that ended the tracking.
void TrackedSession::look_again() {
  try {
    last_ = capturer_.look(target_, false);
  } catch (const Error& error) {
    if (error.code() == ExitCode::kTargetHarmed) throw;
    invocation_.log.warning("no_last_snapshot", fmt::format("there is no last snapshot: {}", error.what()));
  }
}

// Returns where the first snapshot is now.
std::string TrackedSession::save(const std::string& path, TrackingFindings& findings) {
  const std::string first = path_of_first(path);
  std::error_code failed;
  fs::rename(path, first, failed);
  Capture kept = capturer_.keep(std::move(*last_), path, true);
  findings.file = kept.file;
  last_ = std::move(kept.result);
  return failed ? "" : first;
}

void TrackedSession::write(const Report& report) const {
  if (invocation_.output.format() == Format::kJsonLines) {
    invocation_.output.write_line(report);
  } else {
    invocation_.output.write(report);
  }
}

}  // namespace memsnap
