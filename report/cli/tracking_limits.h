#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "snapshot/capture/slice_recorder.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/session/overhead_meter.h"

namespace memsnap {

// --max-overhead and --max-file: when a recording shall end by itself.
class TrackingLimits {
 public:
  // `percent` and `bytes`: empty for no limit. `path`: of the capture; empty: nothing is saved.
  TrackingLimits(pid_t pid, std::optional<double> percent, std::optional<std::uint64_t> bytes, const std::string& path);

  // Asked after each reading of the tables. Why it shall end; empty: it goes on.
  std::string reached(const TableReading& reading, const SliceRecorder& recorder);
  // In percent, the highest that lasted; negative: not measured.
  double overhead() const { return overhead_; }

  // Takes from a snapshot what makes its file too large: first the objects, then details of time, then the stacks of
  // what is small. Says so; empty: nothing was taken. Throws Error kCannotWrite.
  std::string fit(Snapshot& snapshot) const;

 private:
  bool too_expensive(const TableReading& reading, std::uint64_t period);
  bool too_large(const AllocationProfile& profile);
  std::uint64_t stored_size(const Snapshot& snapshot) const;

  pid_t pid_;
  std::optional<double> percent_;
  std::optional<std::uint64_t> bytes_;
  std::string path_;
  TickRate ticks_;
  OverheadMeter meter_;
  bool measured_ = false;
  unsigned above_ = 0;       // measurements in a row
  double lowest_above_ = 0;  // of these
  double overhead_ = -1;
  double recent_ = -1;
  std::uint64_t next_size_ = 0;  // of the profile in memory: its file's size is measured again
};

}  // namespace memsnap
