#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "snapshot/model/memory_point.h"

namespace memsnap {

// Where memory points go when nobody says: one log for each process, beside the snapshots. A pid that is used again,
// or after a reboot, has another.
std::string point_log_path(const std::string& directory, const ProcessKey& process);

// The log of process `pid` in a directory: of the one that runs, else of the last one that had the pid. Throws Error
// kBadFile when there is none.
std::string point_log_of(const std::string& directory, pid_t pid);

// The log that was last written to. Throws Error kBadFile when there is none.
std::string newest_point_log(const std::string& directory);

// The process that has `pid` now, as a log knows it; empty: there is none.
std::optional<ProcessKey> running_process(pid_t pid);

// A log that may go: one that memsnap named itself, of one process of this host, which has ended, and whose last point
// is older than `keep_for`. What cannot be read is left alone.
struct OldPointLog {
  std::string path;
  std::uint64_t bytes = 0;
  std::int64_t last_point_ns = 0;
  pid_t pid = 0;
  std::string name;
};
std::vector<OldPointLog> outdated_point_logs(const std::string& directory, std::chrono::milliseconds keep_for,
                                             std::int64_t now_ns);
void remove_point_log(const std::string& path);  // throws Error kCannotWrite

}  // namespace memsnap
