#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>
#include <vector>

#include "report/cli/command.h"
#include "report/cli/targets.h"
#include "report/snapshot_facts.h"
#include "snapshot/session/take_snapshot.h"
#include "snapshot/session/tracked_tables.h"

namespace memsnap {

// What attach and snapshot have in common: one look at a process, and a file of it.

// `by_size`: with --rss-over among the selectors.
void add_capture_options(boost::program_options::options_description& options, bool by_size = true);
// Those of them that say how to look, not at what nor where to put it: --strings, --redact, and the next.
void add_look_options(boost::program_options::options_description& options);
// How a process is held: --method, --wait, --max-pause.
void add_freeze_options(boost::program_options::options_description& options);
FreezeOptions freeze_options(const boost::program_options::variables_map& options);
const std::vector<ExitCode>& capture_codes();

struct Capture {
  SnapshotResult result;
  std::optional<SavedFile> file;
};

class Capturer {
 public:
  // Reads and checks the options: throws Error kUsage before any process is looked at.
  Capturer(const Invocation& invocation, bool save);

  // From now on, whatever --method says.
  void use_method(Method method) { method_ = method; }
  // Checks the place for the file, takes the snapshot, saves it. Throws Error.
  Capture take(const Candidate& target) const;
  // For a session of several snapshots: where it would be saved (empty: nowhere), checked; a look that is not saved
  // yet; and saving one, over what was saved there by the same session.
  std::string output_path(const Candidate& target) const { return writable_path_for(target); }
  SnapshotResult look(const Candidate& target) const;
  // While it is tracked by ourselves. Not ended by the Ctrl-C that ends the tracking.
  SnapshotResult look_at_tracked(const Candidate& target, const TableReader& tables, SliceRecorder& recorder) const;
  Capture keep(SnapshotResult result, const std::string& path, bool again = false) const;
  // What --redact says, also of what was added to it since; keep() does it too.
  void hide_texts(Snapshot& snapshot) const;
  // The same from a core file. Throws Error kUsage for options that only a process has.
  Capture take_core(const std::string& core) const;
  bool is_dry_run() const { return dry_run_; }
  std::string plan_path(const Candidate& target) const;  // where the file would go; empty: nowhere

 private:
  SnapshotRequest request_for(pid_t pid, std::uint64_t start_time = 0) const;
  std::string path_for(const Candidate& target) const;
  std::string writable_path_for(const Candidate& target) const;

  const Invocation& invocation_;
  bool save_;
  bool dry_run_;
  bool force_;
  SnapshotKind kind_ = SnapshotKind::kHeap;
  std::optional<Method> method_;
};

// Messages for stderr: what was left behind; then the exit code that follows from it.
ExitCode verdict(const Capture& capture, StderrLog& log);
ExitCode verdict(const std::vector<std::string>& left_behind, StderrLog& log);

}  // namespace memsnap
