#pragma once

#include <string>
#include <vector>

namespace memsnap {

// The snapshots of process `pid` in a directory, oldest first, by what their headers say. Files that are none are
// passed over; of two processes that had the pid, the later one counts.
std::vector<std::string> snapshots_of(const std::string& directory, int pid);

// FILE, or PID@-N: the N-th last snapshot of a process in the directory. Throws Error kUsage or kBadFile.
std::string snapshot_named(const std::string& word, const std::string& directory);

}  // namespace memsnap
