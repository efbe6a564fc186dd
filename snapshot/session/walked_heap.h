#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "attach/base/log.h"
#include "attach/frozen_process.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/session/take_snapshot.h"

namespace memsnap {

// Time since it was made, on the clock and of this process's own work.
class Stopwatch {
 public:
  Stopwatch();
  double wall_ms() const;
  double cpu_ms() const;

 private:
  std::chrono::steady_clock::time_point begin_;
  double cpu_begin_ms_;
};

// Walks a process that stands still and fills the graph and what the header says of it. `hash_key`: for
// StringsPolicy::kHash. Gives the roots of last resort, for analyse().
std::vector<Root> walk_into(Snapshot& snapshot, FrozenProcess& frozen, const PythonProcess& python,
                            const SnapshotRequest& request, const std::array<std::uint64_t, 2>& hash_key, Log& log);

// All that needs no process: the last roots, dominators, retained sizes, suspects; or of SnapshotKind::kTypes only the
// types are left, of kSession nothing.
void analyse(Snapshot& snapshot, std::vector<Root> late_roots, Log& log);

}  // namespace memsnap
