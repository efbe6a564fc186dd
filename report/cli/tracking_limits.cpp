#include "report/cli/tracking_limits.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "report/text_layout.h"
#include "snapshot/capture/fold_rows.h"
#include "snapshot/capture/merge_slices.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

constexpr unsigned kTooOften = 4;        // measurements above the limit one after the other, each of a second or more
constexpr double kShareOfFile = 0.9;     // what the profile may fill: there is a last slice, and a header
constexpr std::uint64_t kSmall = 16384;  // bytes in memory: not worth measuring

std::uint64_t size_in_memory(const AllocationProfile& profile) {
  return profile.changes.size() * sizeof(SliceChange) + profile.slices.size() * sizeof(ProfileSlice) +
         profile.row_count() * 3 * sizeof(BlockTotals) + profile.call_count() * 2 * sizeof(CallIndex) +
         profile.frames.size() * sizeof(ProfileFrame) + kSmall;
}

}  // namespace

TrackingLimits::TrackingLimits(pid_t pid, std::optional<double> percent, std::optional<std::uint64_t> bytes,
                               const std::string& path)
    : pid_(pid), percent_(percent), bytes_(path.empty() ? std::nullopt : bytes), path_(path) {}

std::string TrackingLimits::reached(const TableReading& reading, const SliceRecorder& recorder) {
  if (too_expensive(reading, recorder.recorded().period)) {
    return fmt::format("it cost the process {:.1f} % of its processor time, and --max-overhead is {:g} %",
                       lowest_above_, *percent_);
  }
  if (bytes_ && too_large(recorder.recorded()))
    return fmt::format("the capture has reached --max-file {}", bytes_text(*bytes_, Units::kIec));
  return "";
}

// Also without a limit: the file says what it cost.
bool TrackingLimits::too_expensive(const TableReading& reading, std::uint64_t period) {
  const auto now = OverheadMeter::counters_of(reading.threads, period, cpu_seconds_of(pid_));
  const auto percent = meter_.add(now, ticks_.per_second());
  if (!std::exchange(measured_, true) || !percent) return false;  // the first is of the time before tracking too
  overhead_ = std::max(overhead_, recent_ < 0 ? -1 : std::min(recent_, *percent));
  recent_ = *percent;
  if (!percent_ || *percent <= *percent_) {
    above_ = 0;
    return false;
  }
  lowest_above_ = above_ == 0 ? *percent : std::min(lowest_above_, *percent);
  return ++above_ >= kTooOften;
}

bool TrackingLimits::too_large(const AllocationProfile& profile) {
  const std::uint64_t size = size_in_memory(profile);
  if (size < next_size_) return false;
  Snapshot alone;
  alone.header.kind = SnapshotKind::kAllocations;
  alone.profile = profile;
  const auto most = static_cast<std::uint64_t>(static_cast<double>(*bytes_) * kShareOfFile);
  const std::uint64_t stored = stored_size(alone);
  next_size_ = size + size / 8;
  return stored >= most - std::min(most, stored / 8);  // it may grow by an eighth until it is measured again
}

std::uint64_t TrackingLimits::stored_size(const Snapshot& snapshot) const {
  const std::string beside = path_ + ".size";
  SaveOptions how;
  how.force = true;
  const std::uint64_t bytes = save_snapshot(snapshot, beside, how);
  ::unlink(beside.c_str());
  return bytes;
}

std::string TrackingLimits::fit(Snapshot& snapshot) const {
  if (!bytes_ || !snapshot.profile || stored_size(snapshot) <= *bytes_) return "";
  std::string taken = "to keep it below --max-file, the objects of the last snapshot were left out";
  snapshot.graph = HeapGraph();
  snapshot.threads.reset();
  snapshot.header.kind = SnapshotKind::kAllocations;
  AllocationProfile& profile = *snapshot.profile;
  const auto too_large = [&] { return stored_size(snapshot) > *bytes_; };
  constexpr std::size_t kFewSlices = 60;
  if (too_large()) taken += ", and what is in it was made coarser";
  while (profile.slices.size() > kFewSlices && too_large()) merge_slices(profile);
  while (profile.row_count() > 2 && too_large()) fold_rows(profile, profile.row_count() / 2);
  while (profile.slices.size() > 1 && too_large()) merge_slices(profile);
  return taken;
}

}  // namespace memsnap
