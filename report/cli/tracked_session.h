#pragma once

#include <optional>
#include <string>

#include "report/cli/capture.h"
#include "report/tracking_report.h"
#include "snapshot/session/track_allocations.h"

namespace memsnap {

// The second half of `memsnap attach`: track, look again, take the agent out, save both.
class TrackedSession {
 public:
  TrackedSession(const Invocation& invocation, const Capturer& capturer, const Candidate& target)
      : invocation_(invocation), capturer_(capturer), target_(target) {}

  // `before` is the snapshot that the session began with, saved at `path` (empty: not saved). Afterwards `path` holds
  // the last snapshot and the profile, and the first one is beside it. Throws Error when tracking could not begin.
  ExitCode run(TrackingRequest request, const Capture& before, const std::string& path);

  // FILE.msnap is FILE-before.msnap.
  static std::string path_of_first(const std::string& path);

 private:
  void tell_start(const TrackingRequest& request) const;
  void look_again();
  std::string save(const std::string& path, TrackingFindings& findings);
  void write(const Report& report) const;

  const Invocation& invocation_;
  const Capturer& capturer_;
  const Candidate& target_;
  std::optional<SnapshotResult> last_;
};

}  // namespace memsnap
