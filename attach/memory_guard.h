#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attach/frozen_process.h"

namespace memsnap {

// A memory limit above a process: cgroup v2 memory.max or v1 memory.limit_in_bytes, on any level of the hierarchy.
struct MemoryLimit {
  std::string limit_file;
  std::string usage_file;
  std::string reclaimable_file;  // memory.stat, for inactive_file
  bool kills_group = false;      // memory.oom.group
};

// All limits that apply to a process; empty when there are none or the hierarchy cannot be read.
std::vector<MemoryLimit> memory_limits(pid_t pid);
// Bytes that may still be used below the nearest limit, page cache that can be dropped counted as free. Empty: no
// limit.
std::optional<std::uint64_t> memory_headroom(const std::vector<MemoryLimit>& limits);

// The largest part of a limit that is used, 0 to 1, counted likewise. Empty: no limit.
std::optional<double> memory_used_part(const std::vector<MemoryLimit>& limits);

// Whether running out would kill all processes below one of them, whoever is marked to go first (memory.oom.group).
bool kills_group(const std::vector<MemoryLimit>& limits);

// Below this headroom a frozen child is killed: the target's allocations come first. More where running out would kill
// the whole group.
std::uint64_t last_headroom(const std::vector<MemoryLimit>& limits);

// What counts for a freeze, from /proc/PID/status: cheap, and no lock of the target's is held for it.
struct FreezeCost {
  std::uint64_t resident = 0;     // private pages: those the child shares copy-on-write
  std::uint64_t page_tables = 0;  // VmPTE
  std::uint64_t huge = 0;         // resident in huge pages, whose tables are not copied page by page
  std::size_t threads = 0;
};
FreezeCost read_freeze_cost(pid_t pid);

// What a frozen child may cost in memory: page tables, the walker's buffers and bitmap, pages the target writes
// meanwhile: a part of them, or all.
std::uint64_t predicted_child_memory(const FreezeCost& cost, bool all_may_be_written);
// Whether all of them are reckoned with below these limits.
bool all_may_be_written(Method method, const std::vector<MemoryLimit>& limits);
// How long the target would be stopped for the kernel's copy of its page tables, and for a copy of its memory.
std::chrono::milliseconds predicted_pause(const FreezeCost& cost);
std::chrono::milliseconds predicted_copy_pause(const FreezeCost& cost);

// Throws Error kGaveUp, with nothing touched, when a limit or the pause would be passed. `*fallback` is set where a
// copy in a stop is within both.
void require_room(pid_t pid, const FreezeOptions& options, bool* fallback);
// The same for a copy of its memory in ours.
void require_room_for_copy(pid_t pid);

}  // namespace memsnap
