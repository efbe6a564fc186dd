#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What every report of a snapshot begins with: who, how long it was held, its memory, and what is not to be trusted.
std::vector<Line> headline(const SnapshotHeader& header);
// One line for each thing that makes the figures less than exact. Empty: nothing.
std::vector<Line> caveats(const SnapshotHeader& header);

// One line for each object or type that retains a large part of the heap. Empty: nothing does.
std::vector<Line> suspect_lines(const SnapshotHeader& header);
FactArray suspect_facts(const SnapshotHeader& header);

FactObject target_facts(const TargetInfo& target);
// `parts`: with the array of them.
FactObject memory_facts(const MemoryTotals& memory, bool parts = true);
FactObject totals_facts(const SnapshotHeader& header);
// How it was taken: method, consistent, partial, pause_ms, ... warnings.
FactObject capture_facts(const SnapshotHeader& header);

std::string signal_name(int signal);  // SIGABRT
// "SIGABRT in thread 4242"; "none" for a core that no signal made.
std::string signal_text(const CoreFacts& core);

std::string utc_time(std::int64_t ns_since_epoch);  // 2026-11-21T02:15:04Z
std::string kind_name(SnapshotKind kind);
std::string strings_name(StringsPolicy policy, std::uint32_t prefix);

// memsnap.snapshot/1: what `memsnap snapshot` prints. `file` is empty when nothing was saved.
struct SavedFile {
  std::string path;
  std::uint64_t bytes = 0;
};
Report make_snapshot_report(const SnapshotHeader& header, const std::optional<SavedFile>& file,
                            const std::vector<std::string>& left_behind);
// The same document when none was taken, and why: machines get {"pid", "skipped"}, people nothing.
Report make_skipped_report(std::int32_t pid, const std::string& reason);

}  // namespace memsnap
